"""matplotlib figures from plain results, and the gallery that keeps a run's.

The only package that imports matplotlib; computes no explanation and judges none.
Imports result types of explainers and trust, and core.
"""
