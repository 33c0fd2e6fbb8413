"""Operator tables for any networks, from whole models that are timed and split.

The models are timed whole, as ratios to a reference network. Within a model, the time of an
operator is its share of the runtime's own profile. For a runtime without a profile, operators are
cut out of the model and timed alone. Sums of operators are compared with whole networks: with the
models, with their first operators, and, where a model resembles a built-in space, with random
networks of that space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import hwnat
from hwnat.device.conditions import pinned
from hwnat.errors import DataError, InconclusiveError, UsageError
from hwnat.predict.learned import fit_models
from hwnat.predict.operators import OperatorPredictor
from hwnat.profile.models import ExportedModels, ModelsAndFiles, Progress
from hwnat.profile.operator_plan import (
    Network,
    Piece,
    adopted,
    alike,
    cut_out,
    family_of,
    guess_ns,
    prefixes,
)
from hwnat.profile.rounds import Rounds
from hwnat.profile.timer import is_here, open_timer, target_of
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import Measurement, Setup
from hwnat.records.op import OpSpec
from hwnat.records.store import Store
from hwnat.table.build import entry, reference_latency_ns
from hwnat.table.calibrate import Calibration, NetworkCheck, calibrate
from hwnat.table.entry import FittedModel, Provenance
from hwnat.table.in_place import Shares, in_place_entries, profiled
from hwnat.table.lookup import LatencyTable
from hwnat.targets.visits import Tell, Timer

Floats = npt.NDArray[np.float64]

#: Number of whole networks to fit a calibration on, including random ones.
_NETWORKS: Final = 10
#: Fewer networks do not support a fit.
_FIT: Final = 5
#: Number of groups of networks; each is predicted from the others.
_FOLDS: Final = 5
#: Shares of a model's latency at which it is cut off, to check sums of its first operators.
_CUTS: Final = (0.25, 0.5, 0.75)
#: Number of profiles of a model, for the noise of its operators' shares.
_PROFILES: Final = 3
#: Number of times that a given model is loaded and visited as if it were several models. The place
#: in memory moves its latency by a few percent, and its prediction is as good as this measurement.
_LOADS: Final = 3
#: Largest part of a network's latency that starting a run may be.
_MOST_OVERHEAD: Final = 0.8
#: A network whose prediction is further off makes the table doubtful.
_DOUBT: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """A table of operators, and what it lacks.

    Attributes:
        left_out: operation key -> why its latency is not a measurement.
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

    The table predicts each of the models.

    Args:
        device: the device and how to measure it.
        files: ONNX files, or files of the device's target.
        store: file of measurements; existing ones are reused.
        cache: folder of exported models.
        budget: most operators to cut out and time alone, for a runtime without a profile.
        networks: number of whole networks to calibrate on, including the models. Random ones are
            drawn only if the models resemble a built-in space.
        validation: number of random networks to validate the table on, under the same condition.
        seed: seed of the random networks.
        progress: called after each exported model and each visit.
        tell: called with a message while waiting for a remote device.

    Raises:
        UsageError: the device's runner is not available, its target cannot express a model, or
            the models have different batch sizes.
        DeviceError: a remote device failed; its measurements are kept.
        DataError: a file is damaged, or its shapes are not fixed.
        InconclusiveError: a model was timed and still cannot be predicted.
    """
    report = progress or (lambda *_: None)
    target, folder = target_of(device), cache / device.target
    adopting = [adopted(file, target, folder) for file in files]
    _require_one_batch(files, adopting)
    given = list({network.key: network for network in adopting}.values())
    models = ExportedModels(target=target, folder=folder)
    family = family_of(given, models)
    reference = family.reference
    similar = alike(given, family.network(reference))
    beside = max(0, networks - len(given)) if similar else 0
    random = family.draw(beside + validation, seed=seed) if similar else []
    drawn, unseen = random[:beside], random[beside:]
    if not similar:
        unseen = [part for network in given for part in prefixes(network, target, folder, _CUTS)]
    whole = [*given, *drawn]
    profiled_here = is_here(device) and all(_has_profile(network) for network in whole)
    pieces = [] if profiled_here else cut_out(whole, target, folder, budget=budget, report=report)
    with open_timer(device, target, tell=tell) as timer, Store(store) as db:
        schedule = _Schedule(
            device=device,
            setup=timer.setup(reference=reference, batch=given[0].trace.batch),
            models=models,
            pieces=pieces,
            given=given,
            whole=whole,
            unseen=unseen,
        )
        visits = schedule.run(db, timer, report=report)
        profiles = schedule.profiles(report=report) if profiled_here else {}
    split = _split(schedule, visits, profiles)
    table = _table(schedule, split, given=given, fitted=similar)
    _check(table, given)
    estimated = "its time is a share of the rest, in proportion to its work"
    return OperatorProfile(
        table=table,
        left_out={k: estimated for k, e in table.entries.items() if e.provenance == "estimated"},
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


def _has_profile(network: Network) -> bool:
    return all(op.profile_ns is not None for op in network.trace.ops)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schedule:
    """Everything to time, and how to visit it."""

    device: DeviceSpec
    setup: Setup
    models: ExportedModels
    pieces: Sequence[Piece]
    given: Sequence[Network]
    whole: Sequence[Network]
    unseen: Sequence[Network]

    @property
    def overhead(self) -> OpSpec:
        """The operation with almost no work."""
        return OpSpec(kind="mix", in_shape=(self.setup.batch, 1, 1, 1), out_channels=1)

    def run(self, db: Store, timer: Timer, *, report: Progress) -> dict[str, list[Measurement]]:
        """Make the visits that the store lacks and return all visits by subject."""
        least = self.overhead
        self.models.export({least.key: (least,)}, progress=report)
        paths = {network.key: network.path for network in (*self.whole, *self.unseen)}
        paths |= {piece.subject: piece.path for piece in self.pieces}
        paths[least.key] = self.models.path(least.key)
        again = {
            f"{network.key}|load={load}": network
            for network in self.given
            for load in range(1, _LOADS)
        }
        paths |= {subject: network.path for subject, network in again.items()}
        Rounds(
            db=db,
            timer=timer,
            files=ModelsAndFiles(models=self.models, files=paths),
            setup=self.setup,
            rounds=self.device.protocol.rounds,
            report=report,
        ).make(tuple(paths))
        visits: dict[str, list[Measurement]] = {subject: [] for subject in paths}
        for visit in db.measurements(self.setup.id, tuple(paths)):
            visits[visit.subject].append(visit)
        for subject, network in again.items():
            visits[network.key] += visits.pop(subject)
        return visits

    def profiles(self, *, report: Progress) -> dict[str, Floats]:
        """Profile each network several times, and return (repetitions, operators) times in ns.

        Other programs are kept off the core, as they are for visits.
        """
        target, setup = self.models.target, self.setup
        times: dict[str, list[list[float]]] = {network.key: [] for network in self.whole}
        with pinned(setup.affinity, realtime=setup.realtime):
            for repetition in range(_PROFILES):
                for count, network in enumerate(self.whole, start=1):
                    trace = target.trace(network.source)
                    times[network.key].append([op.profile_ns or 0 for op in trace.ops])
                    report(
                        "profile", repetition * len(self.whole) + count, _PROFILES * len(self.whole)
                    )
        return {key: np.array(rows, np.float64) for key, rows in times.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """The time of each whole network, split among its operators.

    Attributes:
        reference_ns: long-run median of the reference network.
        overhead_ns: time to start a run.
        measured: network key -> its latency in ns.
        shares: network key -> the shares of its operators.
        visits: all visits, in order of time.
    """

    reference_ns: int
    overhead_ns: int
    measured: Mapping[str, int]
    shares: Mapping[str, Shares]
    visits: Sequence[Measurement]


def _split(
    schedule: _Schedule, visits: Mapping[str, list[Measurement]], profiles: Mapping[str, Floats]
) -> _Split:
    every = sorted((visit for of in visits.values() for visit in of), key=lambda visit: visit.ended)
    reference_ns = reference_latency_ns(every)
    summary = {key: entry(of, reference_ns=reference_ns).p50_ns for key, of in visits.items()}
    measured = {n.key: summary[n.key] for n in (*schedule.whole, *schedule.unseen)}
    least = min(measured[network.key] for network in schedule.whole)
    overhead_ns = max(1, min(summary[schedule.overhead.key], round(_MOST_OVERHEAD * least)))
    alone = {piece.op: max(1, summary[piece.subject] - overhead_ns) for piece in schedule.pieces}
    shares = {}
    for network in schedule.whole:
        total = measured[network.key] - overhead_ns
        runs = sum(len(visit.samples_ns) for visit in visits[network.key])
        if network.key in profiles:
            rows = np.stack([profiled(row, total) for row in profiles[network.key]])
            source: tuple[Provenance, ...] = ("share of profile",) * rows.shape[1]
        else:
            rows, source = _of_pieces(network, alone, total)
        keys = tuple(op.key for op in network.trace.specs)
        shares[network.key] = Shares(keys=keys, ns=rows, provenance=source, runs=runs)
    return _Split(
        reference_ns=reference_ns,
        overhead_ns=overhead_ns,
        measured=measured,
        shares=shares,
        visits=every,
    )


def _of_pieces(
    network: Network, alone: Mapping[str, int], total: float
) -> tuple[Floats, tuple[Provenance, ...]]:
    """Split a network's time in proportion to the latencies of its pieces.

    An operator that was not timed alone weighs as much as its work suggests.
    """
    ops = network.trace.specs
    guesses = np.array([guess_ns(op) for op in ops])
    known = np.array([op.key in alone for op in ops])
    weights = np.array([alone.get(op.key, 0) for op in ops], np.float64)
    factor = weights[known].sum() / guesses[known].sum() if known.any() else 1.0
    weights[~known] = factor * guesses[~known]
    source: list[Provenance] = ["measured in place" if k else "estimated" for k in known]
    return (weights * (total / weights.sum()))[None], tuple(source)


def _table(
    schedule: _Schedule, split: _Split, *, given: Sequence[Network], fitted: bool
) -> LatencyTable:
    """Turn shares into entries, and sums of entries into a calibration."""
    table = LatencyTable(
        setup=schedule.setup,
        protocol=schedule.device.protocol,
        space=None,
        classes=None,
        resolutions=(),
        granularity="operator",
        reference_ns=split.reference_ns,
        overhead_ns=split.overhead_ns,
        entries=in_place_entries(list(split.shares.values())),
        calibration=Calibration(),
        validation=(),
        conditions=(split.visits[0].before, split.visits[-1].after),
        hwnat=hwnat.__version__,
        created=split.visits[-1].ended,
    )
    table = replace(table, models=_chosen_models(table))
    every = _sums(table, [*given, *schedule.unseen])
    own = {network.key: every[network.key] for network in given if network.key in every}
    sums = _left_out_sums(table, schedule.whole, split)
    if fitted and len(sums) >= _FIT:
        totals, ops = zip(*sums.values(), strict=True)
        calibration = calibrate(list(sums), totals, ops, [split.measured[name] for name in sums])
    else:
        compared = _checks(Calibration(), own | sums, split)
        calibration = Calibration(networks=tuple(compared))
    unseen = {n.key: every[n.key] for n in schedule.unseen if n.key in every}
    table = replace(
        table, calibration=calibration, validation=tuple(_checks(calibration, unseen, split))
    )
    checks = [*_checks(calibration, own, split), *calibration.networks, *table.validation]
    return replace(table, doubts=_doubts(checks))


def _chosen_models(table: LatencyTable) -> tuple[FittedModel, ...]:
    """Choose models for further operators once; the choice takes longer than a fit."""
    try:
        return fit_models(table).fitted
    except DataError:
        return ()  # too few operators of each kind


def _left_out_sums(
    table: LatencyTable, networks: Sequence[Network], split: _Split
) -> dict[str, tuple[int, int]]:
    """Return the sum and number of operators of each network, from those of other networks.

    Networks with operators that the others cannot predict are left out.
    """
    folds = min(_FOLDS, len(networks))
    sums: dict[str, tuple[int, int]] = {}
    for fold in range(folds if len(networks) > 1 else 0):
        held = networks[fold::folds]
        others = [network for network in networks if network not in held]
        entries = in_place_entries([split.shares[network.key] for network in others])
        sums |= _sums(replace(table, entries=entries), held)
    return sums


def _sums(table: LatencyTable, networks: Sequence[Network]) -> dict[str, tuple[int, int]]:
    """Return the sum in ns and the number of operators of each network that can be predicted."""
    predictor = OperatorPredictor(table, fit=fit_models)
    predictions = {n.key: predictor.predict(n.trace, partial=True) for n in networks}
    return {
        key: (prediction.sum_ns, len(prediction.parts))
        for key, prediction in predictions.items()
        if not prediction.missing
    }


def _checks(
    calibration: Calibration, sums: Mapping[str, tuple[int, int]], split: _Split
) -> list[NetworkCheck]:
    """Compare sums with measurements."""
    return [
        calibration.check(name, sum_ns=total, ops=ops, measured_ns=split.measured[name])
        for name, (total, ops) in sums.items()
    ]


def _doubts(checks: Sequence[NetworkCheck]) -> tuple[str, ...]:
    """Return a sentence if predictions of networks that a table was made from are far off."""
    missed = [check for check in checks if abs(check.error) > _DOUBT]
    if not missed:
        return ()
    worst = max(missed, key=lambda check: abs(check.error))
    return (
        f"{len(missed)} of {len(checks)} predictions of its own networks are off by more than "
        f"{_DOUBT:.0%}; the worst, of {worst.genome}, is off by {worst.error:+.0%}: stop other "
        "programs and profile again with more --rounds",
    )


def _check(table: LatencyTable, given: Sequence[Network]) -> None:
    """Refuse a table that cannot predict a model that it was made from.

    Raises:
        InconclusiveError: it cannot; the message says why.
    """
    predictor = OperatorPredictor(table, fit=fit_models)
    for network in given:
        missing = predictor.predict(network.trace, partial=True).missing
        if missing:
            msg = (
                f"{len(missing)} of {len(network.trace.ops)} operators of {network.path} were "
                f"timed and still cannot be predicted, such as {missing[0].key}: "
                f"{missing[0].reason}. Please report this as a fault of hwnat."
            )
            raise InconclusiveError(msg)
