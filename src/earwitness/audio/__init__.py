"""Sound files to samples to log-mels to segments, and back to seconds and hertz.

Front ends are here, and the one clock; labels, classes and networks are not.
Imports core.
"""
