"""Why: attributions, the methods that make them (cam, gradient, perturbation), and their registry.

A method is one file in one of the three families and one line in registry.py.
Imports models, audio and core.
"""
