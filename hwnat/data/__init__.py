"""Labelled pictures as arrays: readers of data sets, and their split into three parts.

Needs NumPy, and Pillow for picture files; no framework. It augments and normalises nothing.
"""
