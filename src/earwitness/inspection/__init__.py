"""Questions put to a run, a file or a class: which segments, which targets, what was found.

Computes and keeps attributions; draws nothing.
Imports trust and what lies below.
"""
