"""Class activation maps: a layer's channels, weighed. One file a method; base.py is what they share.

Knows neither gradient nor perturbation.
Imports explainers' own modules and inference.
"""
