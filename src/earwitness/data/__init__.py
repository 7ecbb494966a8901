"""Labelled recordings: found, checked, split, turned into log-mels; ESC-10.

Networks are unknown here, as data is to models.
Imports audio and core.
"""
