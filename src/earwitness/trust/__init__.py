"""Can it be believed? metrics of maps, verdicts on them, the scoreboard of methods, the audit of a run.

Measures and judges; draws nothing and asks no run.
Imports explainers, training and what lies below.
"""
