"""Models that others trained, as classifiers that can be explained: loading.py goes from a name (SPEC) to a classifier.

description.py says what a model takes and answers, reading.py reads that from files; runtimes.py and sessions.py (ONNX)
run files, factory.py the user's own code. Imports the models' nouns, audio and core.
"""
