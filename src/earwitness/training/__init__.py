"""How a classifier learns and is measured: recipes, the loop, checkpoints, accuracies.

Explanations are unknown here.
Imports models, data, audio and core.
"""
