"""What an evaluation reports: the same numbers for a method and for its baselines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, isnan

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError
from hwnat.predict.score import score

#: Values that an evaluation says of itself, so that it can be made again.
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
        coverage90: share of measurements inside their 90 % interval; None without intervals.
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
        if self.n < 1 or not all(0 <= each <= 1 for each in shares):
            msg = f"shares {shares} of {self.n} measurements are not possible"
            raise DataError(msg)
        if not all(isfinite(each) for each in (self.mape, self.bias, self.rmspe)):
            msg = f"errors {self.mape}, {self.bias}, {self.rmspe} are not finite"
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Agreement):
    """A method's agreement, with that of plainer methods on the same measurements.

    Attributes:
        baselines: name of a plainer method to its agreement.
        facts: what was evaluated: format, device, split, seed, and what was left out.
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
        UsageError: lengths differ, nothing to compare, or a value is not finite and positive.

    >>> agreement([1.0, 2.3], [1.0, 2.0], ([0.9, 2.1], [1.1, 2.5])).coverage90
    0.5
    """
    found = score(predicted, measured)
    return Agreement(
        n=found.n,
        mape=found.mean_error,
        bias=found.bias,
        rmspe=found.rmspe,
        within5=found.within_5,
        within10=found.within_10,
        spearman=None if isnan(found.spearman) else found.spearman,
        kendall=None if isnan(found.kendall) else found.kendall,
        coverage90=None if interval is None else _covered(measured, interval),
    )


def evaluation(own: Agreement, *, baselines: Mapping[str, Agreement], facts: Facts) -> Evaluation:
    """Put a method's agreement beside that of its baselines."""
    names = (name for name in Agreement.__dataclass_fields__)
    values = {name: getattr(own, name) for name in names}
    return Evaluation(**values, baselines=baselines, facts=facts)


def _covered(measured: npt.ArrayLike, interval: tuple[npt.ArrayLike, npt.ArrayLike]) -> float:
    m = np.asarray(measured, np.float64)
    low, high = (np.asarray(each, np.float64) for each in interval)
    if not (low.shape == high.shape == m.shape and (low <= high).all()):
        msg = f"Intervals {low.shape} to {high.shape} do not fit {m.shape} measurements."
        raise UsageError(msg)
    return float(((low <= m) & (m <= high)).mean())
