"""The command line: each command parses, calls one function and prints.

Nothing here computes. Data goes to stdout, words to stderr.
"""
