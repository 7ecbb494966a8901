"""How a network is run for an explanation: prepared copies, layers, two stages, fewer products.

Nothing here knows what is explained; nothing is written into a caller's network.
Imports models' protocols, audio and core.
"""
