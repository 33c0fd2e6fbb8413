"""Calibrate sums of operators on a few whole networks: choose which to time, and fit robustly.

Unlike `hwnat.table.calibrate`, this module knows how much the runs of each network spread.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.table.calibrate import robust_fit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Networks considered per stratum: choosing among more would pick outliers.
_LOOKED_AT: Final = 4
#: Spread of errors to compare the spread of a network's runs with.
_FLOOR: Final = 0.02
#: Share of the runs' deviation that remains in a network's mean.
_KEPT: Final = 0.25
#: Half-width of a 90 % interval over the mean absolute error, for normal errors. Heavier tails need
#: more, but networks chosen for their spread have larger left-out errors than others.
_WIDTH: Final = 2.06
#: Prior mean absolute error of calibrated sums, and its weight as a number of networks.
_EXPECTED: Final = 0.024
_EXPECTED_WEIGHT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The networks of a calibration; each array is (n,).

    Attributes:
        sums_ns: sums of operators.
        ops: numbers of operators.
        measured_ns: end-to-end latencies.
        noise: standard deviation of the runs divided by their mean.
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
        """The (n, 3) columns: sum, number of operators, 1."""
        return np.stack([self.sums_ns, self.ops, np.ones_like(self.ops)], axis=1)


def spread_out(sums_ns: Floats, ops: Floats, count: int, *, seed: int) -> Integers:
    """Choose `count` networks to time, from data that is known before timing.

    Draws four networks from each stratum of size and takes the one that is farthest, in size and
    number of operators, from those already chosen.

    Raises:
        UsageError: `count` is less than 1 or more than the number of networks.
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

    This is the robust fit of tables, with less weight for networks whose runs spread.
    """
    trust = _FLOOR**2 / (_FLOOR**2 + (_KEPT * known.noise) ** 2)
    return robust_fit(known.columns / known.measured_ns[:, None], trust)


def half_width(known: Totals) -> float:
    """Return the relative half-width of a 90 % interval, from errors of left-out networks.

    Ten networks determine the mean absolute error far better than the largest, so the width is a
    multiple of the mean, shrunk a little towards the usual error of such sums.
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
    """Return the single factor with the least squared relative error."""
    ratios = amounts / measured_ns
    return float(ratios.sum() / (ratios @ ratios))
