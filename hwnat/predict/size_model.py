"""Model a block's latency over its map size: work in tiles, plus smooth deviations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.predict.smooth import Deviations, Smoothness, fit_smoothness
from hwnat.predict.workload import family, log_size, neighbourhood, terms
from hwnat.records.op import OpSpec

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Pixels in a tile of a matrix product; chosen by the evidence of the measurements.
TILES: Final = (1, 2, 4, 6, 8, 12, 16)
#: Log evidence (natural) that tiles must gain over no tiles: odds of 20 to 1.
_TILES_WORTH: Final = 3.0
#: Prior for the error that a resolution's operations share, and the number of left-out sizes that
#: it weighs as much as: two or three sizes alone would often show none. Tables of one phone
#: differed by 0.5 and 0.1 % on the blocks that they share.
_SHARED: Final = 0.003
_SHARED_WORTH: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeModel:
    """A size model, as `fit` returns it.

    Attributes:
        ops: the n measured operations.
        ns: (n,) their latencies.
        tile: pixels in a tile.
        parts: the components of the deviations from the work model.
        shared: standard deviation of the error that all operations of a resolution share.
    """

    ops: tuple[OpSpec, ...]
    ns: Floats
    tile: int
    parts: Smoothness
    shared: float

    def predict(self, wanted: Sequence[OpSpec]) -> tuple[Floats, Floats]:
        """Return the (m,) ns of new operations and the (m, m) covariance of their logarithms.

        The covariance includes the noise of a new measurement, but not `shared`.
        """
        return _predict(self.ops, self.ns, wanted, self.tile, self.parts)


def fit(ops: Sequence[OpSpec], ns: Floats) -> SizeModel:
    """Choose tile and smoothness by evidence; deterministic.

    Args:
        ops: n measured operations; families at several map sizes.
        ns: (n,) their latencies.
    """
    by_tile = {
        tile: fit_smoothness(list(_points(ops, np.log(ns / _work_ns(ops, ns, ops, tile))).values()))
        for tile in TILES
    }
    plain, tile = TILES[0], max(TILES, key=lambda candidate: by_tile[candidate].evidence)
    if by_tile[tile].evidence < by_tile[plain].evidence + _TILES_WORTH:
        tile = plain
    parts = by_tile[tile]
    shared = _shared(ops, ns, tile, parts)
    return SizeModel(ops=tuple(ops), ns=ns, tile=tile, parts=parts, shared=shared)


def _shared(ops: Sequence[OpSpec], ns: Floats, tile: int, parts: Smoothness) -> float:
    """Leave out one map size of every neighbourhood at a time; return the error they share.

    This is the excess of the mean error, weighted by latency, over the value that `parts` expect.
    """
    excess = [_SHARED**2] * _SHARED_WORTH
    for out in _left_out(ops):
        kept = [op for op, left in zip(ops, out, strict=True) if not left]
        wanted = [op for op, left in zip(ops, out, strict=True) if left]
        predicted, covariance = _predict(kept, ns[~out], wanted, tile, parts)
        weights = ns[out] / ns[out].sum()
        error = float(weights @ np.log(predicted / ns[out]))
        excess.append(error**2 - float(weights @ covariance @ weights))
    return float(np.sqrt(max(0.0, float(np.mean(excess)))))


def _left_out(ops: Sequence[OpSpec]) -> list[npt.NDArray[np.bool_]]:
    """Mark the operations of each size rank in their neighbourhood, except the first and last."""
    sizes: dict[str, set[float]] = {}
    for op in ops:
        sizes.setdefault(neighbourhood(op), set()).add(log_size(op))
    ordered = {name: sorted(logs) for name, logs in sizes.items()}
    ranks = max((len(logs) for logs in ordered.values()), default=0)
    rank = np.array([ordered[neighbourhood(op)].index(log_size(op)) for op in ops], np.int64)
    inner = np.array(
        [0 < r < len(ordered[neighbourhood(op)]) - 1 for r, op in zip(rank, ops, strict=True)]
    )
    return [
        inner & (rank == place) for place in range(1, ranks - 1) if (inner & (rank == place)).any()
    ]


def _predict(
    ops: Sequence[OpSpec], ns: Floats, wanted: Sequence[OpSpec], tile: int, parts: Smoothness
) -> tuple[Floats, Floats]:
    """Predict operations that were not measured, neighbourhood by neighbourhood."""
    base = _work_ns(ops, ns, [*ops, *wanted], tile)
    known = _points(ops, np.log(ns / base[: len(ops)]), wanted)
    target = _points(wanted, None, ops)
    logs, covariance = np.zeros(len(wanted)), np.zeros((len(wanted), len(wanted)))
    rows = _rows(wanted)
    for name, at in rows.items():
        logs[at], covariance[np.ix_(at, at)] = parts.predict(known[name], target[name])
    return base[len(ops) :] * np.exp(logs), covariance


def _rows(ops: Sequence[OpSpec]) -> dict[str, Rows]:
    rows: dict[str, list[int]] = {}
    for index, op in enumerate(ops):
        rows.setdefault(neighbourhood(op), []).append(index)
    return {name: np.array(places, np.int64) for name, places in rows.items()}


def _points(
    ops: Sequence[OpSpec], y: Floats | None, others: Sequence[OpSpec] = ()
) -> dict[str, Deviations]:
    """Group operations by neighbourhood; family numbers do not depend on the lists' order."""
    names = sorted({family(op) for op in (*ops, *others)})
    number = {name: index for index, name in enumerate(names)}
    families = np.array([number[family(op)] for op in ops], np.int64)
    x = np.array([log_size(op) for op in ops])
    return {
        name: Deviations(x=x[at], family=families[at], y=None if y is None else y[at])
        for name, at in _rows(ops).items()
    }


def _work_ns(ops: Sequence[OpSpec], ns: Floats, wanted: Sequence[OpSpec], tile: int) -> Floats:
    """Fit each kind's non-negative work costs to `ops`; return the ns of `wanted`."""
    from scipy.optimize import nnls

    work_ns = np.empty(len(wanted))
    for kind in {op.kind for op in wanted}:
        rows = np.array([op.kind == kind for op in ops])
        relative = (
            np.stack([terms(op, tile=tile) for op in ops if op.kind == kind]) / ns[rows, None]
        )
        scale = relative.max(axis=0)
        scale[scale == 0] = 1.0
        costs, _ = nnls(relative / scale, np.ones(len(relative)))
        at = [index for index, op in enumerate(wanted) if op.kind == kind]
        work_ns[at] = np.stack([terms(wanted[i], tile=tile) for i in at]) @ (costs / scale)
    return work_ns
