"""Methods scored on cases whose evidence is known: where cases come from, the table, who beats the baselines.

A kind of case is one file; collect.py calls them.
Imports metrics, explainers, training and data.synthetic.
"""
