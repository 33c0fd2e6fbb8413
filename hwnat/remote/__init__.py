"""Visits on a device elsewhere: blocks that need no link, the lease that holds it, what counts."""
