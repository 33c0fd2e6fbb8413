"""Score how well predictions agree with measurements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError

Floats = npt.NDArray[np.float64]
#: The settings of an evaluation, so that you can repeat it.
Facts = Mapping[str, str | int | float | bool | list[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well predictions agree with `n` measurements; errors are relative to the measurement.

    Attributes:
        mape: mean of |predicted / measured - 1|.
        bias: mean of predicted / measured - 1.
        rmspe: root of the mean squared relative error.
        within5: share of errors of at most 5 %; `within10` likewise.
        spearman: rank correlation, ties averaged; None where either side is constant.
        kendall: tau-b; None where either side is constant.
        coverage90: share of measurements inside their 90 % intervals; None without intervals.
    """

    n: int
    mape: float
    bias: float
    rmspe: float
    within5: float
    within10: float
    spearman: float | None
    kendall: float | None
    coverage90: float | None = None

    def __post_init__(self) -> None:
        shares = (self.within5, self.within10, self.coverage90 or 0.0)
        if self.n < 1 or not all(0 <= share <= 1 for share in shares):
            msg = f"shares {shares} of {self.n} measurements are not possible"
            raise DataError(msg)
        if not all(map(isfinite, (self.mape, self.bias, self.rmspe))):
            msg = f"errors {self.mape}, {self.bias}, {self.rmspe} are not finite"
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Agreement):
    """A method's agreement, and the agreement of simpler methods on the same measurements.

    Attributes:
        baselines: agreement of each simpler method, by name.
        facts: settings such as format, device, split and seed, and the networks left out.
    """

    baselines: Mapping[str, Agreement] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)


def agreement(
    predicted: npt.ArrayLike,
    measured: npt.ArrayLike,
    interval: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Agreement:
    """Compare (n,) predictions, and the (n,) lows and highs of `interval`, with measurements.

    Raises:
        UsageError: lengths differ or are 0, or a value is not finite and positive.

    >>> agreement([1.0, 2.3], [1.0, 2.0], ([0.9, 2.1], [1.1, 2.5])).coverage90
    0.5
    """
    p, m = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    if p.shape != m.shape or p.ndim != 1 or not len(p):
        msg = f"Cannot compare {p.shape} predictions with {m.shape} measurements."
        raise UsageError(msg)
    if not (np.isfinite(p).all() and np.isfinite(m).all() and min(p.min(), m.min()) > 0):
        msg = "Predictions and measurements must be finite and positive."
        raise UsageError(msg)
    error = p / m - 1
    # A limit of 5 % includes an error of 5 % that floating point rounds slightly up.
    size = np.abs(error) - 1e-12
    spearman, kendall = _rank_correlations(p, m)
    return Agreement(
        n=len(p),
        mape=float(np.abs(error).mean()),
        bias=float(error.mean()),
        rmspe=float(np.sqrt((error**2).mean())),
        within5=float((size <= 0.05).mean()),
        within10=float((size <= 0.10).mean()),
        spearman=spearman,
        kendall=kendall,
        coverage90=None if interval is None else _covered(m, interval),
    )


def evaluation(own: Agreement, *, baselines: Mapping[str, Agreement], facts: Facts) -> Evaluation:
    """Combine a method's agreement with that of its baselines."""
    values = {name: getattr(own, name) for name in Agreement.__dataclass_fields__}
    return Evaluation(**values, baselines=baselines, facts=facts)


def _rank_correlations(p: Floats, m: Floats) -> tuple[float | None, float | None]:
    """Return Spearman's rho and Kendall's tau-b; None where either side is constant."""
    from scipy.stats import kendalltau, spearmanr

    if np.ptp(p) == 0 or np.ptp(m) == 0:
        return None, None
    return float(spearmanr(p, m).statistic), float(kendalltau(p, m).statistic)


def _covered(measured: Floats, interval: tuple[npt.ArrayLike, npt.ArrayLike]) -> float:
    low, high = (np.asarray(end, np.float64) for end in interval)
    if not (low.shape == high.shape == measured.shape and (low <= high).all()):
        msg = f"Intervals {low.shape} to {high.shape} do not fit {measured.shape} measurements."
        raise UsageError(msg)
    return float(((low <= measured) & (measured <= high)).mean())
