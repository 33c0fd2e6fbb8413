"""Visits: runs of a model in alternation with the reference model, in shuffled order."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter_ns
from typing import Final

import numpy as np

from hwnat.device.conditions import ConditionsReader, now
from hwnat.records.kinds import SAYS
from hwnat.records.measurement import Measurement, Setup
from hwnat.targets.base import Session
from hwnat.targets.timing import alternate

#: Limit for the files of loaded models; a session needs about three times its file.
_SESSION_LIMIT_BYTES: Final = 1 << 30


def shuffled_rounds(
    subjects: Sequence[str], rounds: int, *, rng: np.random.Generator
) -> Iterator[tuple[int, str]]:
    """Yield (round, subject), each subject once per round, in a random order for each round.

    The order is random so that a slow minute of the machine does not hit one kind of model more.
    """
    for round_ in range(rounds):
        for index in rng.permutation(len(subjects)):
            yield round_, subjects[index]


def visit(
    subject: str,
    candidate: Session,
    reference: Session,
    *,
    setup: Setup,
    round_: int,
    conditions: ConditionsReader,
) -> Measurement:
    """Time a loaded model in alternation with the loaded reference model."""
    before, started = conditions.read(), now()
    samples_ns, reference_ns, disturbed = alternate(
        candidate,
        reference,
        runs=setup.runs,
        warmup=setup.warmup,
        least_ns=round(setup.visit_ms * 1e6),
    )
    return Measurement(
        job=setup.job(subject, round_),
        setup=setup.id,
        subject=subject,
        round=round_,
        samples_ns=samples_ns,
        reference_ns=reference_ns,
        disturbed=disturbed,
        started=started,
        ended=now(),
        before=before,
        after=conditions.read(),
    )


def visit_all(
    visits: Sequence[tuple[int, str]],
    *,
    load: Callable[[str], tuple[Session, int]],
    setup: Setup,
    rounds: int,
    conditions: ConditionsReader,
) -> Iterator[Measurement]:
    """Make visits in the given order and load each model at its first visit.

    A model's latency changes by a few percent with its place in memory, which changes at every
    load. So models are loaded in shuffled order. The reference model, on which every ratio depends,
    and models that load in under half a visit are reloaded every round. Larger networks are
    reloaded once, halfway.

    Args:
        visits: (round, subject) pairs.
        load: subject -> its session, ready to run, and the size of its file.
        setup: protocol and reference model.
        rounds: rounds of the whole profile; `visits` may have fewer.
        conditions: called before and after each visit.
    """
    sessions, halved = Sessions(load, limit_bytes=_SESSION_LIMIT_BYTES), False
    reference, current = None, -1
    for round_, subject in visits:
        if reference is None or round_ != current:
            reference, current = load(setup.reference)[0], round_
            sessions.forget_quick()
        if not halved and 2 * round_ >= rounds:
            sessions.forget_networks()
            halved = True
        session, began = sessions.get(subject), perf_counter_ns()
        yield visit(subject, session, reference, setup=setup, round_=round_, conditions=conditions)
        sessions.lasted(subject, perf_counter_ns() - began)


class Sessions:
    """Loaded models; the least recently used ones are dropped above a total file size."""

    def __init__(self, load: Callable[[str], tuple[Session, int]], *, limit_bytes: int) -> None:
        self._load, self._limit_bytes = load, limit_bytes
        self._held: OrderedDict[str, tuple[Session, int]] = OrderedDict()
        self._load_ns: dict[str, int] = {}
        self._visit_ns: dict[str, int] = {}

    def lasted(self, subject: str, visit_ns: int) -> None:
        """Record how long a visit took."""
        self._visit_ns[subject] = visit_ns

    def forget_quick(self) -> None:
        """Drop the models that load in under half a visit."""
        for key in list(self._held):
            if 2 * self._load_ns[key] < self._visit_ns.get(key, 0):
                del self._held[key]

    def forget_networks(self) -> None:
        """Drop all models except those of single operations."""
        kept = {key: held for key, held in self._held.items() if key.partition("|")[0] in SAYS}
        self._held = OrderedDict(kept)

    def get(self, subject: str) -> Session:
        """Return the session of a model, ready to run."""
        if subject not in self._held:
            began = perf_counter_ns()
            self._held[subject] = self._load(subject)
            self._load_ns[subject] = perf_counter_ns() - began
            while (
                len(self._held) > 1 and sum(s for _, s in self._held.values()) > self._limit_bytes
            ):
                self._held.popitem(last=False)
        self._held.move_to_end(subject)
        return self._held[subject][0]
