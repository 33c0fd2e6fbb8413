"""Predictors judged on measurements that somebody else published.

Nothing here measures, and no figure is kept: each is made again from the files it is asked for.
"""
