"""Bytes and commands to a device and back.

No module here knows what is measured, and none passes a command through a local shell.
"""
