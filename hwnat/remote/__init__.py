"""A profile on a remote device: hold it, collect, compare, make blocks of visits, release it.

`profile.RemoteProfile` goes through these phases; each has a module of its name.
"""
