"""Operator tables for any networks: the operators of a few models, timed in small networks.

Each distinct operator of the models is timed as the difference of two networks; see
`hwnat.targets.modules.bench`. To calibrate sums, whole networks are timed too: the models
themselves, and random networks from a built-in space.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import hwnat
from hwnat.errors import UsageError
from hwnat.predict.learned import fit_models
from hwnat.predict.operators import OperatorPredictor
from hwnat.profile.models import ExportedModels, ModelsAndFiles, Progress
from hwnat.profile.operator_plan import (
    Network,
    adopted,
    chosen,
    make_benches,
    random_of_their_size,
)
from hwnat.profile.rounds import Rounds
from hwnat.profile.timer import open_timer, target_of
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import Measurement, Setup
from hwnat.records.op import OpSpec
from hwnat.records.store import Store
from hwnat.table.build import entry, reference_latency_ns
from hwnat.table.calibrate import Calibration, NetworkCheck, calibrate
from hwnat.table.difference import differenced
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable
from hwnat.targets.modules.bench import Bench
from hwnat.targets.visits import Tell, Timer

#: Number of whole networks to fit a calibration on, including random ones.
_NETWORKS: Final = 10
#: Reasons why a timed operator has no entry and a timed network does not validate the table.
_WAITS: Final = "with it come moves that have no latency of their own"
_NO_SUM: Final = "an operator of it has neither a latency nor a model, so there is no sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """A table of operators, and what it lacks.

    Attributes:
        left_out: operation or network key -> reason; fitted models may predict the operation.
    """

    table: LatencyTable
    left_out: Mapping[str, str]


def profile_models(  # noqa: PLR0913 - one keyword for each thing a profile may vary
    device: DeviceSpec,
    files: Sequence[Path],
    *,
    store: Path,
    cache: Path,
    budget: int = 200,
    networks: int = _NETWORKS,
    validation: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> OperatorProfile:
    """Measure the operators of some models and return their table.

    Args:
        device: the device and how to measure it.
        files: ONNX files, or files of the device's target.
        store: file of measurements; existing ones are reused.
        cache: folder of exported models.
        budget: most distinct operators to time; the models' own come before the random networks'.
        networks: number of whole networks to calibrate on, including the models.
        validation: number of random networks to validate the table on; operators that only these
            have are not timed.
        seed: seed of the random networks.
        progress: called after each exported model and each visit.
        tell: called with a message while waiting for a remote device.

    Raises:
        UsageError: the device's runner is not available, or its target cannot express a model.
        DeviceError: a remote device failed; its measurements are kept.
        DataError: a file is damaged, or its shapes are not fixed.
        InconclusiveError: no operator could be timed.
    """
    report = progress or (lambda *_: None)
    target, folder = target_of(device), cache / device.target
    given = [adopted(file, target, folder) for file in files]
    _require_one_batch(files, given)
    beside = max(0, networks - len(given))
    random = random_of_their_size(given, target, folder, count=beside + validation, seed=seed)
    drawn, unseen = random[:beside], random[beside:]
    ops = chosen(given, drawn, budget=budget)
    benches = make_benches(ops, target, folder, report=report)
    by_size = sorted(given, key=lambda network: len(network.trace.ops))
    whole = [*given, *drawn]
    with open_timer(device, target, tell=tell) as timer, Store(store) as db:
        schedule = _Schedule(
            device=device,
            setup=timer.setup(
                reference=by_size[len(by_size) // 2].key, batch=by_size[0].trace.batch
            ),
            models=ExportedModels(target=target, folder=folder),
            benches=benches.by_key,
        )
        visits = schedule.run(db, timer, [*whole, *unseen], report=report)
    table = _table(schedule, visits, whole, unseen)
    used = {check.genome for check in (*table.calibration.networks, *table.validation)}
    return OperatorProfile(
        table=table,
        left_out=benches.left_out
        | {key: _WAITS for key in benches.by_key if key not in table.entries}
        | {network.key: _NO_SUM for network in (*whole, *unseen) if network.key not in used},
    )


def _require_one_batch(files: Sequence[Path], given: Sequence[Network]) -> None:
    """Refuse models with different batches, before anything is timed.

    Raises:
        UsageError: a table holds operators of one batch only.
    """
    batches = {network.trace.batch: file for file, network in zip(files, given, strict=True)}
    if len(batches) > 1:
        listed = ", ".join(f"{file} has batch {batch}" for batch, file in batches.items())
        msg = (
            f"A table is for one batch: {listed}. Profile them one by one, or fix the batch with "
            "--shape."
        )
        raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schedule:
    """Everything to time, and how to visit it."""

    device: DeviceSpec
    setup: Setup
    models: ExportedModels
    benches: Mapping[str, tuple[Bench, Counter[str]]]

    @property
    def overhead(self) -> OpSpec:
        """The operation with almost no work."""
        return OpSpec(kind="mix", in_shape=(self.setup.batch, 1, 1, 1), out_channels=1)

    def run(
        self, db: Store, timer: Timer, whole: Sequence[Network], *, report: Progress
    ) -> dict[str, list[Measurement]]:
        """Make the visits that the store lacks and return all visits by subject."""
        paths = {network.key: network.path for network in whole}
        models, least = self.models, self.overhead
        models.export({least.key: (least,)}, progress=report)
        timed = [
            key for bench, _ in self.benches.values() for key in (bench.key, bench.baseline.key)
        ]
        paths |= {key: models.path(key) for key in (*timed, least.key)}
        subjects = tuple(paths)
        Rounds(
            db=db,
            timer=timer,
            files=ModelsAndFiles(models=models, files=paths),
            setup=self.setup,
            rounds=self.device.protocol.rounds,
            report=report,
        ).make(subjects)
        visits: dict[str, list[Measurement]] = {subject: [] for subject in subjects}
        for visit in db.measurements(self.setup.id, subjects):
            visits[visit.subject].append(visit)
        return visits


def _table(
    schedule: _Schedule,
    visits: Mapping[str, list[Measurement]],
    whole: Sequence[Network],
    unseen: Sequence[Network],
) -> LatencyTable:
    """Turn visits into entries, and sums of entries into a calibration."""
    every = sorted((visit for of in visits.values() for visit in of), key=lambda visit: visit.ended)
    reference_ns = reference_latency_ns(every)
    entries = _entries(schedule.benches, visits, reference_ns=reference_ns)
    table = LatencyTable(
        setup=schedule.setup,
        protocol=schedule.device.protocol,
        space=None,
        classes=None,
        resolutions=(),
        granularity="operator",
        reference_ns=reference_ns,
        overhead_ns=entry(visits[schedule.overhead.key], reference_ns=reference_ns).p50_ns,
        entries=entries,
        calibration=Calibration(),
        validation=(),
        conditions=(every[0].before, every[-1].after),
        hwnat=hwnat.__version__,
        created=every[-1].ended,
    )
    judge = _Judge(
        predictor=OperatorPredictor(table, fit=fit_models), visits=visits, reference_ns=reference_ns
    )
    sums = [total for network in whole if (total := judge.sum(network)) is not None]
    calibration = calibrate(*map(list, zip(*sums, strict=True))) if sums else Calibration()
    checks = [judge.check(network, calibration) for network in unseen]
    validation = tuple(check for check in checks if check is not None)
    return replace(table, calibration=calibration, validation=validation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Compares whole networks with the predictions of a table without a calibration."""

    predictor: OperatorPredictor
    visits: Mapping[str, list[Measurement]]
    reference_ns: int

    def sum(self, network: Network) -> tuple[str, int, int, int] | None:
        """Return name, sum in ns, operators and measured ns; None if a part is missing."""
        prediction = self.predictor.predict(network.trace, partial=True)
        if prediction.missing:
            return None  # the sum is too low to be compared
        measured = entry(self.visits[network.key], reference_ns=self.reference_ns).p50_ns
        return network.key, prediction.sum_ns, len(prediction.parts), measured

    def check(self, network: Network, calibration: Calibration) -> NetworkCheck | None:
        """Return how well a network is predicted; None if a part cannot be predicted."""
        parts = self.sum(network)
        if parts is None:
            return None
        name, total, ops, measured = parts
        return calibration.check(name, sum_ns=total, ops=ops, measured_ns=measured)


def _entries(
    benches: Mapping[str, tuple[Bench, Counter[str]]],
    visits: Mapping[str, list[Measurement]],
    *,
    reference_ns: int,
) -> dict[str, Entry]:
    """Return the latency of each operator, less that of the moves executed with it.

    An operator gets no entry if one of its moves has none.
    """
    entries: dict[str, Entry] = {}
    waiting = dict(benches)
    while ready := [k for k, (_, rest) in waiting.items() if entries.keys() >= rest.keys()]:
        for key in ready:
            bench, rest = waiting.pop(key)
            entries[key] = differenced(
                visits[bench.key],
                visits[bench.baseline.key],
                count=bench.count,
                reference_ns=reference_ns,
                less_ns=sum(n * entries[other].p50_ns for other, n in rest.items()),
            )
    return entries
