"""The live page: runs to look into, listen to and decide about, in a browser on the same machine.

guard.py keeps strangers out of the server; reviews.py keeps what a person decided, in the run folder.
Imports workflows, report and what lies below, and alone starlette, uvicorn and msgspec.
"""
