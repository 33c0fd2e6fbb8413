"""Keeping a runner on its cores: `taskset`, as the device's own understands it."""

import re
from collections.abc import Sequence

from hwnat.transport.base import Transport

#: Which cores a program started so may use, as the kernel says.
_ASK = ("grep", "-h", "^Cpus_allowed_list:", "/proc/self/status")


def pin_words(link: Transport, cores: Sequence[int]) -> tuple[str, ...]:
    """Return the words before a command that keep it on `cores`; empty where nothing does.

    Toybox takes a mask without 0x, some versions of BusyBox one with it only; so the kernel is
    asked what came of it.
    """
    if not cores:
        return ()
    mask = f"{sum(1 << core for core in cores):x}"
    for word in (mask, f"0x{mask}"):
        words = ("taskset", word)
        done = link.run([*words, *_ASK], timeout_s=20)
        found = re.fullmatch(r"Cpus_allowed_list:\s*([\d,-]+)\n", done.stdout, re.ASCII)
        if done.returncode == 0 and found and _cores(found[1]) == set(cores):
            return words
    return ()


def _cores(text: str) -> set[int] | None:
    """Return the cores of a list such as 0-3,7; None if it is none."""
    found: set[int] = set()
    for part in text.split(","):
        ends = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part, re.ASCII)
        if ends is None:
            return None
        found |= set(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return found
