"""The command line: one module a command, `output.py` for everything that is printed, `main.py` for the rest.

Nothing here routes, retries or keeps state; a command loads a config, calls one function below and renders the answer.
Importing this package imports nothing else, so that `fame --version` stays as quick as its parser.
"""
