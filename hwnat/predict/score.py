"""How well predictions agree with measurements."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Agreement over `n` networks; errors are relative to the measurement.

    Attributes:
        mean_error: mean of |predicted / measured - 1|.
        bias: mean of predicted / measured - 1.
        within_5: share of networks whose error is at most 5 %; `within_10` likewise.
        rmspe: root of the mean squared relative error.
        spearman: rank correlation, ties averaged; NaN if either side is constant.
        kendall: tau-b; NaN if either side is constant.
    """

    n: int
    mean_error: float
    bias: float
    within_5: float
    within_10: float
    rmspe: float
    spearman: float
    kendall: float


def score(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> Score:
    """Compare (n,) predictions with (n,) positive measurements.

    Raises:
        UsageError: lengths differ, nothing to compare, or a value is not finite and positive.

    >>> score([1.0, 2.1], [1.0, 2.0]).within_5
    1.0
    """
    p, m = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    if p.shape != m.shape or p.ndim != 1 or not len(p):
        msg = f"Cannot compare {p.shape} predictions with {m.shape} measurements."
        raise UsageError(msg)
    if not (np.isfinite(p).all() and np.isfinite(m).all() and (m > 0).all()):
        msg = "Predictions and measurements must be finite, measurements positive."
        raise UsageError(msg)
    error = p / m - 1
    # A limit of 5 % includes an error of 5 % that floating point puts a hair above.
    size = np.abs(error) - 1e-12
    return Score(
        n=len(p),
        mean_error=float(np.abs(error).mean()),
        bias=float(error.mean()),
        within_5=float((size <= 0.05).mean()),
        within_10=float((size <= 0.10).mean()),
        rmspe=float(np.sqrt((error**2).mean())),
        spearman=_correlation(_ranks(p), _ranks(m)),
        kendall=_kendall(p, m),
    )


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, equal values sharing the mean of theirs; centred."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return np.asarray(ranks - ranks.mean())


def _kendall(p: Floats, m: Floats) -> float:
    """Tau-b, by a sort: all pairs of twelve thousand blocks would not fit into memory."""
    from scipy.stats import kendalltau

    if np.ptp(p) == 0 or np.ptp(m) == 0:
        return float("nan")
    return float(kendalltau(p, m).statistic)


def _correlation(a: Floats, b: Floats) -> float:
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")
