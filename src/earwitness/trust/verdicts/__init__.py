"""Whether a map may be believed: indicators are measured, judge decides, verdict is the noun, assess does it for many.

advice says what to do next; fit.py and calibration.py make and test the judge.
Never imports training.
"""
