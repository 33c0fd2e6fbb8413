"""Profiles of devices elsewhere: programs there time models, and keep what they found."""
