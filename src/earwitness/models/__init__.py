"""Networks, their weights, the classifier around them, and its predictions for recordings.

Other people's networks get their coat here, too; training and explaining do not.
Imports audio and core.
"""
