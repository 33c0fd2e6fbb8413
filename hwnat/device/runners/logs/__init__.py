"""Strict parsers for the output of other projects' runners, one module per program."""
