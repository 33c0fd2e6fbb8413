"""Score predictions of networks from their operators on published measurements of both.

The operators of a network are measured, or predicted by models that never saw that network. The
end-to-end times of a few networks calibrate the sums; all other networks score them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from evaluate.calibration import (
    Floats,
    Integers,
    Totals,
    fit,
    half_width,
    scale,
    spread_out,
)
from hwnat.errors import DataError, UsageError
from hwnat.predict.choice import Sample
from hwnat.predict.learned import OperatorEstimates, fit_samples
from hwnat.predict.score import Agreement, Evaluation, agreement, evaluation
from hwnat.table.calibrate import calibrate as calibrate_table
from hwnat.table.importers.base import Source
from hwnat.table.importers.mobile_ml_benchmark import (
    NetworkRow,
    OperatorRow,
    device_column,
    network_rows,
    operator_rows,
)
from hwnat.table.importers.values import positive, to_ns

#: Folds of networks; each fold's operators are predicted from those of the others.
FOLDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNetworks:
    """One device's networks that were measured both whole and operator by operator.

    Attributes:
        names: (n,) network names.
        samples: their operators; `source` is the network.
        measured_ns: (n,) end-to-end latencies.
        noise: (n,) standard deviation of the runs divided by their mean.
        flops: (n,) floating-point operations.
        left_out: the networks that were not usable, with the reasons.
    """

    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    measured_ns: Floats
    noise: Floats
    flops: Floats
    left_out: tuple[str, ...]


def evaluate_operators(
    ops_file: Path,
    nets_file: Path,
    device: str,
    *,
    calibrate: int = 10,
    seed: int = 0,
    measured: bool = False,
) -> Evaluation:
    """Score network latencies from operators, on files in the format mobile-ml-benchmark.

    Args:
        ops_file: times of operators.
        nets_file: end-to-end times of networks.
        device: the device's name in the columns, such as `pixel4`; `pixel4/gpu` adds the core mix.
        calibrate: number of networks to calibrate on; all others score the result.
        seed: seed of the folds, the models and the choice of calibration networks.
        measured: use the measured operators instead of predicted ones.

    Raises:
        DataError: a file is damaged; the message names file, line and column.
        UsageError: there is no such device, or there are too few networks.
    """
    data = read_published(ops_file, nets_file, device)
    real = np.array([each.latency_ns for each in data.samples])
    estimates = None if measured else predicted(data, seed=seed)
    totals = _totals(data, real if estimates is None else estimates.ns)
    chosen = spread_out(totals.sums_ns, totals.ops, calibrate, seed=seed)
    drawn = np.random.default_rng(seed).permutation(len(data.names))[:calibrate]
    baselines = _baselines(data, totals, chosen) | {
        "random_calibration_networks": _judged(totals, drawn)[0]
    }
    if estimates is not None:
        baselines["measured_operators"] = _judged(_totals(data, real), chosen)[0]
    own, coefficients, width = _judged(totals, chosen)
    return evaluation(
        own,
        baselines=baselines,
        facts={
            "format": "mobile-ml-benchmark",
            "device": device,
            "operators": "measured" if measured else "predicted",
            "seed": seed,
            "folds": 0 if measured else FOLDS,
            "calibrated_on": [data.names[index] for index in chosen],
            "scale": float(coefficients[0]),
            "per_op_ns": float(coefficients[1]),
            "constant_ns": float(coefficients[2]),
            "half_width": width,
            "left_out": list(data.left_out),
            **({} if estimates is None else _single(estimates, real)),
        },
    )


def _single(estimates: OperatorEstimates, real: Floats) -> dict[str, float]:
    """Return the errors of single operators and the number outside the trained range."""
    inside = (estimates.low_ns <= real) & (real <= estimates.high_ns)
    return {
        "operator_n": len(real),
        "operator_mape": float(np.abs(estimates.ns / real - 1).mean()),
        "operator_coverage90": float(inside.mean()),
        "operators_out_of_range": int((~estimates.in_range).sum()),
    }


def read_published(ops_file: Path, nets_file: Path, device: str) -> PublishedNetworks:
    """Read the networks measured both whole and by operator; `left_out` names the others.

    Raises:
        DataError, UsageError: as in `evaluate_operators`.
    """
    name, _, cores = device.partition("/")
    column = device_column(name, cores or "gpu")
    operators = operator_rows(Source.read(ops_file), column)
    networks = network_rows(Source.read(nets_file), column)
    by_network: dict[str, list[OperatorRow]] = {}
    for row in operators:
        by_network.setdefault(row.network, []).append(row)
    known = {row.name for row in networks}
    left_out = [f"{each}: no end-to-end time" for each in by_network if each not in known]
    kept: list[NetworkRow] = []
    for network in networks:
        problem = _problem(by_network.get(network.name, ()))
        if problem:
            left_out.append(f"{network.name}: {problem}")
        else:
            kept.append(network)
    if not kept:
        msg = f"{ops_file} and {nets_file}: no network of {device} is measured in both."
        raise DataError(msg)
    means = np.array([to_ns(row.mean, "us", where=row.where) for row in kept], np.float64)
    stds = np.array([row.std_us * 1_000 for row in kept])
    return PublishedNetworks(
        names=tuple(row.name for row in kept),
        samples=tuple(_sample(row) for network in kept for row in by_network[network.name]),
        measured_ns=means,
        noise=stds / means,
        flops=np.array([positive(row.flops, where=row.where) for row in kept]),
        left_out=tuple(left_out),
    )


def _problem(rows: Sequence[OperatorRow]) -> str:
    """Return why a network's operators do not add up to its latency; empty if they do."""
    if not rows:
        return "no operators"
    for row in rows:
        if row.op is None:
            return row.reason
        if not row.time:
            return f"{row.where} is empty"
    return ""


def _sample(row: OperatorRow) -> Sample:
    if row.op is None:
        msg = f"{row.where}: {row.reason}"
        raise DataError(msg)
    ns = to_ns(row.time, "us", where=row.where)
    return Sample(op=row.op, latency_ns=ns, source=row.network)


def predicted(data: PublishedNetworks, *, seed: int) -> OperatorEstimates:
    """Return (samples,) estimates, each from models that never saw its network.

    Raises:
        UsageError: there are fewer networks than folds.
    """
    if len(data.names) < FOLDS:
        msg = f"Predicting unseen networks takes at least {FOLDS} of them, found {len(data.names)}."
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    fold = dict(zip(data.names, (rng.permutation(len(data.names)) % FOLDS).tolist(), strict=True))
    folds = np.array([fold[each.source] for each in data.samples])
    found = np.zeros((3, len(data.samples)))
    inside = np.zeros(len(data.samples), bool)
    for part in range(FOLDS):
        seen = [each for each in data.samples if fold[each.source] != part]
        models = fit_samples(seen, seed=seed, name=f"networks outside fold {part}")
        where = np.flatnonzero(folds == part)
        own = models.predict([data.samples[index].op for index in where.tolist()])
        found[:, where] = own.ns, own.low_ns, own.high_ns
        inside[where] = own.in_range
    return OperatorEstimates(ns=found[0], low_ns=found[1], high_ns=found[2], in_range=inside)


def _totals(data: PublishedNetworks, ns: Floats) -> Totals:
    """Sum the operators of each network."""
    number_of = {name: index for index, name in enumerate(data.names)}
    where = np.array([number_of[each.source] for each in data.samples])
    return Totals(
        sums_ns=np.bincount(where, ns, minlength=len(data.names)).astype(np.float64),
        ops=np.bincount(where, minlength=len(data.names)).astype(np.float64),
        measured_ns=data.measured_ns,
        noise=data.noise,
    )


def _judged(totals: Totals, chosen: Integers) -> tuple[Agreement, Floats, float]:
    """Calibrate on the chosen networks; return the others' score, coefficients and half-width."""
    others = np.delete(np.arange(len(totals.ops)), chosen)
    known, judged = totals[chosen], totals[others]
    coefficients, width = fit(known), half_width(known)
    latencies = judged.columns @ coefficients
    # The width applies to predicted / measured - 1, so the ends divide by it.
    interval = (latencies / (1 + width), latencies / max(1 - width, 1e-9))
    return agreement(latencies, judged.measured_ns, interval), coefficients, width


def _baselines(data: PublishedNetworks, totals: Totals, chosen: Integers) -> dict[str, Agreement]:
    """Score simpler methods on the same networks."""
    others = np.delete(np.arange(len(data.names)), chosen)
    measured = data.measured_ns[others]

    def scaled(amounts: Floats) -> Agreement:
        factor = scale(amounts[chosen], data.measured_ns[chosen])
        return agreement(factor * amounts[others], measured)

    return {
        "flops_proportional": scaled(data.flops),
        "raw_sum": agreement(totals.sums_ns[others], measured),
        "one_scale": scaled(totals.sums_ns),
        "table_calibration": _as_a_table_does(data.names, totals, chosen, others),
    }


def _as_a_table_does(
    names: Sequence[str], totals: Totals, chosen: Integers, others: Integers
) -> Agreement:
    """Score the fit that hwnat's own tables choose by leaving networks out."""
    fitted = calibrate_table(
        [names[index] for index in chosen],
        [round(float(ns)) for ns in totals.sums_ns[chosen]],
        [round(float(count)) for count in totals.ops[chosen]],
        [round(float(ns)) for ns in totals.measured_ns[chosen]],
    )
    return agreement(
        fitted.apply(totals.sums_ns[others], totals.ops[others]), totals.measured_ns[others]
    )
