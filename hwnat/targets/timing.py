"""Timing of a model relative to a reference model, with the runs of both in alternation."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

from hwnat.errors import UsageError
from hwnat.targets.base import SelfTimed, Session

#: Upper limit on runs, as a multiple of those requested, if too many are preempted.
_PATIENCE: Final = 3


def _preemptions() -> int:
    """Return how often this process has lost a core to another program so far.

    This is always 0 on systems that do not count preemptions; then no run is discarded.
    """
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    return getrusage(RUSAGE_SELF).ru_nivcsw


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The clock and the preemption counter of the machine that times.

    Attributes:
        now_ns: a monotonic clock, in nanoseconds.
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

    A session with its own clock is timed by that clock; see `SelfTimed`.

    A run that is preempted by another program is repeated, up to a limit: its time does not
    describe the model, and long runs are preempted more often than short ones.

    Args:
        candidate: the session to time; its `prepare` has been called.
        reference: the session whose drift is divided out; its `prepare` has been called.
        runs: minimum number of timed runs of each session.
        warmup: minimum number of untimed runs of each session before them.
        least_ns: minimum total time; half of it is spent on the warm-up.
        host: the machine's clock and preemption counter.

    Returns:
        The nanoseconds of the candidate's and of the reference's runs, in the order they were
        taken, without preempted runs; then the number of discarded runs. A session whose runs
        were all preempted keeps all of them. Each has at least `runs` entries unless too many
        were preempted.

    Raises:
        UsageError: `runs` is less than 1, or `warmup` is negative.
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
    """Pause Python's garbage collector during the timed runs."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
