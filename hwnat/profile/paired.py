"""One visit to a model: its runs in alternation with the reference model's; and the order."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hwnat.profile.conditions import ConditionsReader, now
from hwnat.records.measurement import Measurement, Setup
from hwnat.targets.base import Session
from hwnat.targets.timing import alternate


def shuffled_rounds(
    subjects: Sequence[str], rounds: int, *, rng: np.random.Generator
) -> Iterator[tuple[int, str]]:
    """Yield (round, subject), every subject once a round, in an order drawn for each round.

    Shuffled, so that a slow minute of the machine hits no kind of model more than another.
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
    """Time a prepared model against the prepared reference model."""
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


class Sessions:
    """Loaded models, the least recently used given up when their files exceed a size."""

    def __init__(self, load: Callable[[str], tuple[Session, int]], *, limit_bytes: int) -> None:
        self._load, self._limit_bytes = load, limit_bytes
        self._held: OrderedDict[str, tuple[Session, int]] = OrderedDict()

    def get(self, subject: str) -> Session:
        """Return the prepared session of a model."""
        if subject not in self._held:
            self._held[subject] = self._load(subject)
            while (
                len(self._held) > 1 and sum(s for _, s in self._held.values()) > self._limit_bytes
            ):
                self._held.popitem(last=False)
        self._held.move_to_end(subject)
        return self._held[subject][0]
