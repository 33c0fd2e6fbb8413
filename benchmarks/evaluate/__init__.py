"""Score the predictors on measurements that others published.

This package measures nothing and stores no figures: it computes each from the files you pass.
"""
