"""Attention methods: what a transformer's tokens pass on to each other. One file a method; base.py is what they share.

Knows no other family.
Imports explainers' own modules and inference.
"""
