"""Figures of one map: faithfulness, robustness, complexity, localisation, randomisation. One file a property.

No judgement is made here; verdicts does that.
Never imports training.
"""
