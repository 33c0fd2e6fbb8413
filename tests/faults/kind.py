"""What a kind of fault is, and words that messages about several kinds have."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from faults.rig import Rig

LOST = r"link .*lost|offline|no device|not found|does not answer|refused|closed the connection"
LOST += r"|did not answer|reach|still connecting"


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        begin: have it go wrong, until `end`; given a generator for what is left to chance.
        end: what its user, or time, does about it.
        cause: regular expression that the message of a command that failed of it has.
        slot: two faults of one slot cannot be told apart or undone one by one.
        passes: whether it may end by itself, after a while.
        first: whether it can be so before the command begins.
        of: the devices that have it.
        lingers: whether `begin` returns only once it is over; other faults begin meanwhile.
    """

    name: str
    slot: str
    cause: str
    begin: Callable[[Rig, np.random.Generator], None]
    end: Callable[[Rig], None]
    passes: bool = True
    first: bool = True
    of: tuple[bool, ...] = (True, False)
    lingers: bool = False


def nothing(rig: Rig) -> None:
    del rig


def kills(rig: Rig, rng: np.random.Generator, *, word: str) -> None:
    """Kill the device's processes that have this in their command line."""
    del rng
    rig.kill(word)
