"""The command line: each command parses, calls one function and prints.

Nothing here computes. Results go to stdout, messages to stderr.
"""
