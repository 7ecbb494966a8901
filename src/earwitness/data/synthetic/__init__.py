"""Sounds that are made, so that what is in them is known: events, scenes, whole data sets.

What is scored on them lies in trust/scoreboard.
Imports audio and core.
"""
