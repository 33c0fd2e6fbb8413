"""Profiles on remote devices: hold a device, collect, compare, make blocks of visits, release it.

`profile.RemoteProfile` goes through these phases. Each phase has a module of the same name.
"""
