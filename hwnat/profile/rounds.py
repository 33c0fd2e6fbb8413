"""Make visits in shuffled rounds: those that a store lacks, or visits that no store keeps."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from hwnat.profile.models import Progress
from hwnat.profile.paired import shuffled_rounds
from hwnat.records.measurement import Measurement, Setup
from hwnat.records.store import Store
from hwnat.targets.visits import Files, Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Makes visits and keeps them in a store.

    Attributes:
        files: the files of the models.
        rounds: number of visits to each model.
        report: called after each visit.
    """

    db: Store
    timer: Timer
    files: Files
    setup: Setup
    rounds: int
    report: Progress

    def make(self, subjects: Sequence[str]) -> None:
        """Make the visits to `subjects` that the store lacks, in shuffled rounds.

        Raises:
            DeviceError: the device failed; the visits made so far are kept.
        """
        setup = self.setup
        # Seeded by the setup, so that a resumed profile repeats the same order.
        rng = np.random.default_rng(int(setup.id, 16))
        visits = list(shuffled_rounds(subjects, self.rounds, rng=rng))
        due = {setup.job(subject, round_): (round_, subject) for round_, subject in visits}
        for job in self.db.jobs(setup.id):
            due.pop(job, None)
        if not due:
            return
        made = self.timer.visits(
            tuple(due.values()), files=self.files, setup=setup, rounds=self.rounds
        )
        with closing(made):
            for measurement in made:
                self.db.add(measurement)
                due.pop(measurement.job, None)
                self.report("measure", len(visits) - len(due), len(visits))


def make_visits(
    subjects: Sequence[str],
    *,
    timer: Timer,
    setup: Setup,
    files: Files,
    rounds: int,
    report: Progress,
) -> dict[str, list[Measurement]]:
    """Visit each subject once per round without keeping the visits in a store.

    Returns:
        Subject -> its visits.

    Raises:
        DeviceError: the device failed.
    """
    visits: dict[str, list[Measurement]] = {subject: [] for subject in subjects}
    due = list(shuffled_rounds(tuple(visits), rounds, rng=np.random.default_rng(0)))
    made = timer.visits(due, files=files, setup=setup, rounds=rounds, kept=False)
    with closing(made):
        for count, measurement in enumerate(made, start=1):
            visits[measurement.subject].append(measurement)
            report("measure", count, len(due))
    return visits
