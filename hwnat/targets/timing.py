"""Timing of a model as a ratio: its runs in alternation with a reference model's."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Final

from hwnat.errors import UsageError
from hwnat.targets.base import SelfTimed, Session

#: Runs tried for each one wanted, until enough of them were left in peace.
_PATIENCE: Final = 3


def alternate(
    candidate: Session, reference: Session, *, runs: int, warmup: int, least_ns: int = 0
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Time single runs of two prepared sessions in alternation.

    A session that has a clock of its own is timed by that; see `SelfTimed`.

    A run during which the system gave the core to another program says nothing about the model,
    and hits a long run more often than a short one. It is made again, a few times at most.

    Args:
        candidate: the session of interest; `prepare` was called.
        reference: the session whose drift is divided out; `prepare` was called.
        runs: timed runs of each, at least.
        warmup: untimed runs of each before them, at least.
        least_ns: go on until so much time has passed, half of it for the warm-up.

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
    began, warmed = perf_counter_ns(), 0
    while warmed < warmup or perf_counter_ns() - began < least_ns // 2:
        warmed += 1
        for invoke in pair:
            invoke()
    calm: tuple[list[int], list[int]] = ([], [])
    every: tuple[list[int], list[int]] = ([], [])
    clocks = _clock(candidate), _clock(reference)
    with _no_gc():
        while len(every[0]) < _PATIENCE * runs or perf_counter_ns() - began < least_ns:
            for timed, good, taken in zip(clocks, calm, every, strict=True):
                switches = _preemptions()
                taken.append(timed())
                if _preemptions() == switches:
                    good.append(taken[-1])
            if min(map(len, calm)) >= runs and perf_counter_ns() - began >= least_ns:
                break
    kept = [good or taken for good, taken in zip(calm, every, strict=True)]
    return tuple(kept[0]), tuple(kept[1]), sum(map(len, every)) - sum(map(len, kept))


def _clock(session: Session) -> Callable[[], int]:
    """Return what runs a session once and tells the nanoseconds."""
    if isinstance(session, SelfTimed):
        return session.timed
    invoke = session.invoke

    def timed() -> int:
        start = perf_counter_ns()
        invoke()
        return perf_counter_ns() - start

    return timed


def _preemptions() -> int:
    """Return how often this process has lost a core to another program so far.

    Always 0 where the system does not count it; then nothing is thrown away.
    """
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    return getrusage(RUSAGE_SELF).ru_nivcsw


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
