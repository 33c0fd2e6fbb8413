"""Keeping a runner on its cores: `taskset`, as the device's own understands it."""

from collections.abc import Sequence

from hwnat.transport.base import Transport


def pin_words(link: Transport, cores: Sequence[int]) -> tuple[str, ...]:
    """Return the words before a command that keep it on `cores`; empty where nothing does.

    Old versions of BusyBox take a mask without 0x for a decimal number; toybox refuses one with it.
    """
    if not cores:
        return ()
    mask = f"{sum(1 << core for core in cores):x}"
    for word in (f"0x{mask}", mask):
        if link.run(["taskset", word, "true"], timeout_s=20).returncode == 0:
            return "taskset", word
    return ()
