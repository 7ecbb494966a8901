"""The command line: a command parses, calls one workflow, shows.

app.py has the commands, text.py the words for results, exit.py the exit codes.
The only package that imports typer; nothing heavy is imported before it is needed.
"""
