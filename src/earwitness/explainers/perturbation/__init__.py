"""Methods that hide parts of the input and score again. One file a method; base.py is what they share.

parts.py and sampling.py say what is hidden, scoring.py puts it through the network.
Knows neither cam nor gradient.
"""
