"""What everything stands on: errors, progress, files, devices, array types, the run folder's names.

Knows nothing of sound or networks, and imports no other package.
Nothing may come in that more than one package does not need.
"""
