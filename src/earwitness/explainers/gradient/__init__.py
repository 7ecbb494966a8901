"""Methods that ask for gradients of the input. One file a method; base.py is what they share.

Knows neither cam nor perturbation.
Imports explainers' own modules and inference.
"""
