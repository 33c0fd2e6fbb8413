"""Transports: they run commands on devices and copy files to and from them.

No module here depends on what is measured, and none passes a command through a local shell.
"""
