"""Choose a regressor and an interval width for each kind of operation by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, expm1, isfinite
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError
from hwnat.predict.families import FAMILIES, Regressor, Roofline, candidates, plainer, regressor
from hwnat.predict.features import row, work
from hwnat.records.op import OpSpec
from hwnat.table.entry import MAX_HALF_WIDTH, FittedModel

Floats = npt.NDArray[np.float64]

#: Share of the true latencies that an interval should contain.
_COVERAGE: Final = 0.9
#: Most operations used to choose a family; more do not change the choice.
_MAX_CHOICE: Final = 400
#: A richer family must beat a plainer one by this factor.
_WORTH_IT: Final = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A measured operation.

    Attributes:
        source: a group measured together, such as a network; cross-validation keeps it together.
    """

    op: OpSpec
    latency_ns: float
    source: str = ""

    def __post_init__(self) -> None:
        if not (isfinite(self.latency_ns) and self.latency_ns > 0):
            msg = f"{self.op.key}: {self.latency_ns} ns is not a valid latency"
            raise DataError(msg)


def choose(kind: str, samples: Sequence[Sample], *, seed: int) -> FittedModel:
    """Choose a family by cross-validation; folds keep sources whole if there are several.

    The half-width is the split-conformal rank (Vovk et al., 2005) of the absolute logarithms of
    the left-out errors, so an interval is as wide above as below in relative terms.
    """
    rng = np.random.default_rng(seed)
    samples = _thinned(samples, rng)
    distinct = len({sample.op for sample in samples})
    folds = _folds(samples, rng, count=3 if distinct > 60 else min(5, distinct))
    best: tuple[float, str, Floats] = (float("inf"), "", np.zeros(0))
    for family in candidates(distinct):
        errors = _left_out(family, samples, folds, seed=seed)
        mean = float(np.abs(np.expm1(errors)).mean())
        if mean < _WORTH_IT * best[0]:
            best = (mean, family, errors)
    mean, family, errors = best
    return FittedModel(
        kind=kind,
        family=family,
        settings=FAMILIES[family],
        seed=seed,
        n=len(samples),
        cv_error=round(mean, 6),
        half_width=min(round(expm1(_conformal(errors)), 6), MAX_HALF_WIDTH),
    )


def _conformal(errors: Floats) -> float:
    """Return the conformal rank of (n,) errors; above them all if there are too few."""
    size = np.sort(np.abs(errors))
    rank = ceil(_COVERAGE * (len(size) + 1))
    return float(size[rank - 1]) if rank <= len(size) else 2 * float(size[-1])


def _thinned(samples: Sequence[Sample], rng: np.random.Generator) -> list[Sample]:
    """Keep at most `_MAX_CHOICE` different operations, with all their samples."""
    ops = list(dict.fromkeys(sample.op for sample in samples))
    if len(ops) <= _MAX_CHOICE:
        return list(samples)
    kept = {ops[index] for index in rng.permutation(len(ops))[:_MAX_CHOICE]}
    return [sample for sample in samples if sample.op in kept]


def _folds(
    samples: Sequence[Sample], rng: np.random.Generator, *, count: int
) -> npt.NDArray[np.int64]:
    """Return the (n,) fold of every sample, by source or, if sources are few, by operation."""
    sources = [sample.source for sample in samples]
    groups: Sequence[object] = sources
    if len(set(sources)) < 2 * count:
        groups = [sample.op for sample in samples]
    names = list(dict.fromkeys(groups))
    fold = dict(zip(names, rng.permutation(len(names)) % count, strict=True))
    return np.array([fold[group] for group in groups])


def _left_out(
    family: str, samples: Sequence[Sample], folds: npt.NDArray[np.int64], *, seed: int
) -> Floats:
    """Return the (n,) natural logarithms of predicted over measured, leaving out each fold."""
    fitted = FittedModel(
        kind="",
        family=family,
        settings=plainer(family),
        seed=seed,
        n=len(samples),
        cv_error=0.0,
        half_width=0.0,
    )
    errors = np.zeros(len(samples))
    for fold in np.unique(folds):
        kept = [sample for sample, f in zip(samples, folds, strict=True) if f != fold]
        where = np.flatnonzero(folds == fold).tolist()
        ops = [samples[index].op for index in where]
        roofline, learned = fit_pair(fitted, *arrays(kept))
        x, amounts = np.stack([row(op) for op in ops]), np.stack([work(op) for op in ops])
        truth = np.array([samples[index].latency_ns for index in where])
        errors[where] = np.log(predict_pair(roofline, learned, x, amounts) / truth)
    return errors


def arrays(samples: Sequence[Sample]) -> tuple[Floats, Floats, Floats]:
    """Return (n, features), (n, work) and (n,) ns, with one row per distinct operation."""
    logs: dict[OpSpec, list[float]] = {}
    for sample in samples:
        logs.setdefault(sample.op, []).append(float(np.log(sample.latency_ns)))
    ns = np.array([exp(sum(values) / len(values)) for values in logs.values()])
    return np.stack([row(op) for op in logs]), np.stack([work(op) for op in logs]), ns


def fit_pair(
    fitted: FittedModel, x: Floats, amounts: Floats, ns: Floats
) -> tuple[Roofline, Regressor]:
    """Fit a roofline, and a regressor to its errors."""
    roofline = Roofline().fit(amounts, ns)
    learned = regressor(fitted.family, fitted.settings, seed=fitted.seed)
    learned.fit(x, np.log(ns / roofline.predict(amounts)))
    return roofline, learned


def predict_pair(roofline: Roofline, learned: Regressor, x: Floats, amounts: Floats) -> Floats:
    """Predict (n,) nanoseconds."""
    return np.asarray(roofline.predict(amounts) * np.exp(learned.predict(x)))
