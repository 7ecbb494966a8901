"""One self-contained HTML page from a run folder.

page.py builds it from contents.py (tables, and sentences of headline.py, causes.py and glossary.py) and pictures.py;
template and style lie beside them. Imports inspection, plots and what lies below.
"""
