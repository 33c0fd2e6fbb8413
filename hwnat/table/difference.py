"""The latency of an operator as the difference of two networks, one of which runs it."""

import math
from collections.abc import Sequence

import numpy as np

from hwnat.records.measurement import Measurement
from hwnat.table.entry import MAX_NS, Entry


def differenced(
    with_op: Sequence[Measurement],
    without: Sequence[Measurement],
    *,
    count: int,
    reference_ns: int,
    less_ns: int = 0,
) -> Entry:
    """Summarise the visits to both networks; at least 1 ns.

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
        ratios = np.array([each.ratio for each in visits])
        low, middle, high = map(float, np.quantile(ratios, [0.25, 0.5, 0.75]))
        medians.append(middle)
        errors.append(1.2533 / 1.349 * (high - low) / math.sqrt(len(ratios)))
        spread = max(spread, (high - low) / middle)
    per_op = reference_ns / count
    p50 = (medians[0] - medians[1]) * per_op - less_ns / count
    half = 1.645 * math.hypot(*errors) * per_op
    p50_ns = min(max(1, round(p50)), MAX_NS - 1)
    low_ns, high_ns = max(1, min(p50_ns, round(p50 - half))), max(p50_ns, round(p50 + half))
    return Entry(
        p10_ns=low_ns,
        p50_ns=p50_ns,
        p90_ns=high_ns,
        low_ns=low_ns,
        high_ns=high_ns,
        n=sum(len(each.samples_ns) for each in with_op),
        spread=round(spread, 4),
    )
