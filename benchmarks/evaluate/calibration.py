"""From sums of operators to whole networks with few of them: which to time, and a robust fit.

It differs from `hwnat.table.calibrate` in what it knows: how much the runs of each network spread.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.table.calibrate import robust_fit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: A stratum's networks that are looked at: choosing among more would pick outliers.
_LOOKED_AT: Final = 4
#: Spread of errors that a network's own runs are compared with.
_FLOOR: Final = 0.02
#: Share of the runs' own deviation that stays in a network's mean.
_KEPT: Final = 0.25
#: Half-width of a 90 % interval over the mean absolute error, for normal errors. Heavier tails need
#: more, but left-out errors of networks chosen for their spread are larger than those of others.
_WIDTH: Final = 2.06
#: Mean absolute error of calibrated sums that is expected before anything is seen, counted as so
#: many networks.
_EXPECTED: Final = 0.024
_EXPECTED_WEIGHT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Networks as a calibration sees them, each array (n,).

    Attributes:
        sums_ns: sums of operators.
        ops: numbers of operators.
        measured_ns: end to end.
        noise: standard deviation of the runs over their mean.
    """

    sums_ns: Floats
    ops: Floats
    measured_ns: Floats
    noise: Floats

    def __getitem__(self, where: Integers) -> "Totals":
        return Totals(
            sums_ns=self.sums_ns[where],
            ops=self.ops[where],
            measured_ns=self.measured_ns[where],
            noise=self.noise[where],
        )

    @property
    def columns(self) -> Floats:
        """(n, 3): sum, number of operators, 1."""
        return np.stack([self.sums_ns, self.ops, np.ones_like(self.ops)], axis=1)


def spread_out(sums_ns: Floats, ops: Floats, count: int, *, seed: int) -> Integers:
    """Choose `count` networks to time, from what is known before any is timed.

    One from each stratum of size; of four drawn from it, the one that is farthest from those
    chosen before in size and number of operators.

    Raises:
        UsageError: there are fewer networks than that, or none is asked for.
    """
    if not 1 <= count < len(sums_ns):
        msg = f"Cannot calibrate on {count} of {len(sums_ns)} networks and judge on the others."
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    place = np.stack([np.log(sums_ns), np.log(ops)], axis=1)
    place = (place - place.mean(axis=0)) / np.maximum(place.std(axis=0), 1e-9)
    chosen: list[int] = []
    for stratum in np.array_split(np.argsort(sums_ns, kind="stable"), count):
        drawn = rng.permutation(stratum)[:_LOOKED_AT]
        gaps = ((place[drawn][:, None] - place[chosen]) ** 2).sum(axis=2)
        chosen.append(int(drawn[gaps.min(axis=1).argmax()] if chosen else drawn[0]))
    return np.array(chosen)


def fit(known: Totals) -> Floats:
    """Return non-negative (a, b, c) of `a * sum + b * operators + c` in ns, robust to outliers.

    The robust fit of tables; networks whose own runs spread weigh less.
    """
    trust = _FLOOR**2 / (_FLOOR**2 + (_KEPT * known.noise) ** 2)
    return robust_fit(known.columns / known.measured_ns[:, None], trust)


def half_width(known: Totals) -> float:
    """Return the relative half-width of a 90 % interval, from errors of left-out networks.

    Ten networks tell their mean absolute error far better than their largest one, so the width is
    a multiple of the mean, drawn a little towards what such sums usually achieve.
    """
    count = len(known.ops)
    errors = [
        (known.columns[left] @ fit(known[np.delete(np.arange(count), left)]))
        / known.measured_ns[left]
        - 1
        for left in range(count)
        if count > 1
    ]
    total = float(np.abs(errors).sum()) + _EXPECTED_WEIGHT * _EXPECTED
    return _WIDTH * total / (len(errors) + _EXPECTED_WEIGHT)


def scale(amounts: Floats, measured_ns: Floats) -> float:
    """Return the one factor with the least squared relative error."""
    ratios = amounts / measured_ns
    return float(ratios.sum() / (ratios @ ratios))
