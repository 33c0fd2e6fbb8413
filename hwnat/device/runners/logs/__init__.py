"""Strict readers of what the runners of other projects print, one module a program."""
