"""One file a command: train, evaluate, explain, inquire, audit, scoreboard, download.

Each function does the whole of it and returns a result; words for a terminal are made in cli.
Imports everything below, but not report.
"""
