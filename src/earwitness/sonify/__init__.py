"""Sound from maps: masks, the sounds that they part a recording into, their levels, files and scores.

Turns what is known of time and frequency into sound, and measures that; draws nothing and asks no run.
Imports explainers, models and what lies below.
"""
