"""What a classifier relies on that is not the sound: counterfactuals, their effects, the file they are kept in.

Methods of explanation are not needed here.
Imports models, audio and core.
"""
