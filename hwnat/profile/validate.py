"""Compare a table's predictions with new measurements of networks it has not seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.score import Evaluation, agreement, evaluation
from hwnat.profile.estimate import estimate_networks
from hwnat.profile.file import time_networks
from hwnat.profile.models import Progress
from hwnat.profile.plan import random_networks
from hwnat.records.arch import Arch
from hwnat.table.lookup import LatencyTable
from hwnat.targets.visits import Tell

Floats = npt.NDArray[np.float64]


def validate(
    table: LatencyTable,
    *,
    networks: int,
    seed: int,
    cache: Path,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Evaluation:
    """Time random networks that the table has not seen and compare its predictions.

    Args:
        table: the table of a space, measured on this machine or on a device with a device file.
        networks: number of networks; none is in the table's calibration or validation.
        seed: seed of the random networks.
        cache: folder of exported models.
        progress: called after each exported model and each visit.
        tell: called with a message while waiting for a remote device.

    Returns:
        The agreement of the table and of three baselines: the raw sum, the sum with one scale
        factor, and proportional FLOPs. Factors are fitted to the calibration networks.

    Raises:
        TableMismatchError: the table has no space, or is from another machine.
        UsageError: the space has too few networks.
    """
    predictor = AdditivePredictor(table)
    space, classes = predictor.space, predictor.classes
    seen = [
        Arch.from_text(space, check.genome)
        for check in (*table.calibration.networks, *table.validation)
    ]
    rng = np.random.default_rng(seed)
    unseen = random_networks(space, table.resolutions, networks, rng=rng, apart_from=seen)
    estimated = any(entry.provenance == "estimated" for entry in table.entries.values())
    genomes = [arch.text for arch in unseen]
    if estimated and table.protocol is None:
        timed = estimate_networks(genomes, table, cache=cache, progress=progress)
    else:
        timed = time_networks(genomes, table, cache=cache, progress=progress, tell=tell)
    measured = np.array([entry.p50_ns for entry in timed], np.float64)
    estimates = predictor.estimate(np.array([arch.genome for arch in unseen]))
    low, high = estimates.low_ns, estimates.high_ns
    interval = None if low is None or high is None else (low, high)
    own = agreement(estimates.latency_ns, measured, interval)
    plain = _plain(table, predictor, unseen, classes=classes)
    return evaluation(
        own,
        baselines={name: agreement(ns, measured) for name, ns in plain.items()},
        facts={
            "table": table.name,
            "table_id": table.table_id,
            "seed": seed,
            "spread": float(np.median([entry.spread for entry in timed])),
        },
    )


def _plain(
    table: LatencyTable, predictor: AdditivePredictor, unseen: Sequence[Arch], *, classes: int
) -> dict[str, Floats]:
    """Predict (n,) networks by baselines; without calibration networks, only the raw sum."""
    sums = _sums(table, unseen, classes=classes)
    plain = {"raw_sum": sums}
    known = table.calibration.networks
    if known:
        archs = [Arch.from_text(predictor.space, network.genome) for network in known]
        measured = np.array([network.measured_ns for network in known], np.float64)
        macs, macs_known = _macs(unseen, classes), _macs(archs, classes)
        plain["one_scale"] = sums * np.median(measured / _sums(table, archs, classes=classes))
        plain["flops_proportional"] = macs * np.median(measured / macs_known)
    return plain


def _sums(table: LatencyTable, archs: Sequence[Arch], *, classes: int) -> Floats:
    batch = table.setup.batch
    return np.array(
        [table.sum_ns(op.key for op in arch.ops(classes=classes, batch=batch)) for arch in archs],
        np.float64,
    )


def _macs(archs: Sequence[Arch], classes: int) -> Floats:
    return np.array([arch.cost(classes=classes).macs for arch in archs], np.float64)
