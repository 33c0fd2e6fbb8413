"""The latencies of operators inside whole networks, as entries of a table.

A network is timed as a whole. Its operators share that time in proportion to weights: the
runtime's own profile, or the latencies of pieces that were cut out of it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.table.entry import Entry, Provenance, derived_entry, interval_ns

Floats = npt.NDArray[np.float64]

#: Least share of a profiled time that is left when the profiler's own time is removed.
_LEAST: Final = 0.05
_STEPS: Final = 60
#: Factor of the interval of an operator whose time was split by work and not measured.
_SPLIT_FACTOR: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The operators of one network and what they take of its time.

    Attributes:
        keys: n operation keys, in the order they run.
        ns: (repetitions, n) latencies; each row adds up to the time of the network.
        provenance: of each operator's latency.
        runs: number of runs that the time of the network was measured with.
    """

    keys: tuple[str, ...]
    ns: Floats
    provenance: tuple[Provenance, ...]
    runs: int


def profiled(times_ns: npt.ArrayLike, total_ns: float) -> Floats:
    """Turn the times of a profile into times that add up to `total_ns`.

    A profiler adds about the same time to every operator, so a constant is removed from each, or
    added to each. At least a twentieth of an operator's time remains.
    """
    times = np.maximum(np.asarray(times_ns, np.float64), 1.0)
    low, high = -times.max(), max(total_ns, 1.0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if np.maximum(times + middle, _LEAST * times).sum() < total_ns:
            low = middle
        else:
            high = middle
    taken = np.maximum(times + high, _LEAST * times)
    return np.asarray(taken * (total_ns / taken.sum()), np.float64)


def in_place_entries(shares: Sequence[Shares]) -> dict[str, Entry]:
    """Return the entry of each operator: the median over networks of the mean over its instances.

    The interval covers the spread over instances, networks and repetitions.
    """
    means: dict[str, list[float]] = defaultdict(list)
    values: dict[str, list[float]] = defaultdict(list)
    source: dict[str, Provenance] = {}
    runs: dict[str, int] = defaultdict(int)
    for network in shares:
        places: Mapping[str, list[int]] = defaultdict(list)
        for index, key in enumerate(network.keys):
            places[key].append(index)
        for key, where in places.items():
            columns = network.ns[:, where]
            means[key].append(float(np.median(columns.mean(axis=1))))
            values[key] += columns.ravel().tolist()
            source[key] = network.provenance[where[0]]
            runs[key] += network.runs
    return {key: _entry(median(means[key]), values[key], source[key], runs[key]) for key in means}


def _entry(ns: float, values: Sequence[float], provenance: Provenance, runs: int) -> Entry:
    low, middle, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
    spread = (high - low) / max(middle, 1.0)
    ends: tuple[float, float] = interval_ns(max(1, round(ns)), spread, len(values))
    if provenance == "estimated":
        ends = ns / _SPLIT_FACTOR, ns * _SPLIT_FACTOR
    return derived_entry(ns, *ends, n=runs, provenance=provenance, spread=round(spread, 4))
