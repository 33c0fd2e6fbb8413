"""Timing of a model as a ratio: its runs in alternation with a reference model's."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

from hwnat.errors import UsageError
from hwnat.targets.base import SelfTimed, Session

#: Most runs for each one that is asked for, until enough of them kept their core.
_PATIENCE: Final = 3


def _preemptions() -> int:
    """Return how often this process has lost a core to another program so far.

    Always 0 where the system does not count it; then no run is thrown away.
    """
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    return getrusage(RUSAGE_SELF).ru_nivcsw


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What timing asks of the machine it runs on.

    Attributes:
        now_ns: a clock that never goes back.
        preemptions: how often this process has lost a core to another program so far.
    """

    now_ns: Callable[[], int] = perf_counter_ns
    preemptions: Callable[[], int] = _preemptions


_THIS_MACHINE: Final = Host()


def alternate(
    candidate: Session,
    reference: Session,
    *,
    runs: int,
    warmup: int,
    least_ns: int = 0,
    host: Host = _THIS_MACHINE,
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Time single runs of two prepared sessions in alternation.

    A session that has a clock of its own is timed by that; see `SelfTimed`.

    A run during which the system gave the core to another program is repeated, a few times at
    most: it says nothing about the model, and happens to long runs more often than to short ones.

    Args:
        candidate: the session of interest; `prepare` was called.
        reference: the session whose drift is divided out; `prepare` was called.
        runs: timed runs of each, at least.
        warmup: untimed runs of each before them, at least.
        least_ns: go on until this time has passed; half of it is for the warm-up.
        host: the machine's clock and its count of preemptions.

    Returns:
        Undisturbed (candidate, reference) nanoseconds in the order they were taken, at least
        `runs` each unless the machine never leaves them in peace, then all there are; and the
        number of runs that were thrown away.

    Raises:
        UsageError: nothing is to be timed.
    """
    if runs < 1 or warmup < 0:
        msg = f"Timing needs at least one run and no negative warm-up; got {runs} and {warmup}."
        raise UsageError(msg)
    pair = candidate.invoke, reference.invoke
    began, warmed = host.now_ns(), 0
    while warmed < warmup or host.now_ns() - began < least_ns // 2:
        warmed += 1
        for invoke in pair:
            invoke()
    calm: tuple[list[int], list[int]] = ([], [])
    every: tuple[list[int], list[int]] = ([], [])
    clocks = _clock(candidate, host), _clock(reference, host)
    with _no_gc():
        while len(every[0]) < _PATIENCE * runs or host.now_ns() - began < least_ns:
            for timed, good, taken in zip(clocks, calm, every, strict=True):
                switches = host.preemptions()
                taken.append(timed())
                if host.preemptions() == switches:
                    good.append(taken[-1])
            if min(map(len, calm)) >= runs and host.now_ns() - began >= least_ns:
                break
    kept = [good or taken for good, taken in zip(calm, every, strict=True)]
    return tuple(kept[0]), tuple(kept[1]), sum(map(len, every)) - sum(map(len, kept))


def _clock(session: Session, host: Host) -> Callable[[], int]:
    """Return a function that runs a session once and returns the nanoseconds it took."""
    if isinstance(session, SelfTimed):
        return session.timed
    invoke = session.invoke

    def timed() -> int:
        start = host.now_ns()
        invoke()
        return host.now_ns() - start

    return timed


@contextmanager
def _no_gc() -> Iterator[None]:
    """Keep Python's collector out of the timed runs."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
