"""Readers of labelled image data sets, and their split into three parts.

They need NumPy, and Pillow for image files, but no framework. Nothing is augmented or normalised.
"""
