"""The latency of an operator as the difference of two networks, one of which runs it."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from hwnat.records.measurement import Measurement
from hwnat.table.entry import Entry, derived_entry, median_error

#: A difference further below zero than so many standard errors is not told from one there.
_LEAST: Final = -4.0


def differenced(
    with_op: Sequence[Measurement],
    without: Sequence[Measurement],
    *,
    count: int,
    reference_ns: int,
    less_ns: int = 0,
) -> Entry:
    """Summarise the visits to both networks.

    A difference that is not clearly above zero is taken for what it is: a normal error around a
    latency that is positive. So is its median, and the interval's ends are the 5th and 95th
    percentile of what that leaves.

    Both are ratios to the same reference model. Rounds are not paired: in a round, the two are
    visited minutes apart. The interval adds the variances of both medians, whose standard error
    is 1.25 times the mean's; an interquartile range is 1.35 standard deviations.

    Args:
        with_op: visits to the network that runs the operator.
        without: visits to the same network without it.
        count: how often the operator runs.
        reference_ns: long-run median of the reference model.
        less_ns: of other operators that only the first network runs.
    """
    medians, errors, spread = [], [], 0.0
    for visits in (with_op, without):
        ratios = np.array([visit.ratio for visit in visits])
        low, middle, high = map(float, np.quantile(ratios, [0.25, 0.5, 0.75]))
        medians.append(middle)
        errors.append(median_error(high - low, len(ratios)))
        spread = max(spread, (high - low) / middle)
    per_op = reference_ns / count
    middle_ns = (medians[0] - medians[1]) * per_op - less_ns / count
    low, p50, high = _positive(middle_ns, math.hypot(*errors) * per_op)
    return derived_entry(
        p50,
        low,
        high,
        n=sum(len(visit.samples_ns) for visit in with_op),
        provenance="measured",
        spread=round(spread, 4),
    )


def _positive(middle: float, error: float) -> tuple[float, float, float]:
    """Return the 5th, 50th and 95th percentile of a normal distribution cut off below zero."""
    if error <= 0:
        return middle, middle, middle
    normal = NormalDist()
    z = max(middle / error, _LEAST)
    below = normal.cdf(-z)
    low, half, high = (
        error * (z + normal.inv_cdf(below + q * (1 - below))) for q in (0.05, 0.5, 0.95)
    )
    return low, half, high
