"""One self-contained HTML page from a run folder.

page.py builds it from contents.py (words, tables) and pictures.py; template and style lie beside them.
Imports plots, trust and core.
"""
