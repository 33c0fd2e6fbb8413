"""Which entries of two latency tables differ beyond their intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, log
from statistics import median
from typing import Any, Final

import numpy as np

from hwnat.errors import TableMismatchError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.space import get_space
from hwnat.table.lookup import LatencyTable

#: Networks drawn to see what the change means for a whole one.
_NETWORKS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """An entry whose 90 % intervals in the two tables do not overlap."""

    key: str
    before_ns: int
    after_ns: int
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Calibrated latencies of random networks, after over before.

    Attributes:
        compared: networks that both tables cover.
        uncovered: networks that one of the tables does not cover.
    """

    compared: int
    uncovered: int
    lowest: float
    median: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """What changed from one table to another.

    Attributes:
        moved: entries whose intervals do not overlap, the largest change first.
        steady: number of other entries that both tables have.
        median_ratio: after over before, of all entries in both; None without any.
        median_change: |ratio - 1| of the median entry; `p95_change` of the 95th percentile.
        new: keys that only the second table has.
        gone: keys that only the first table has.
        setup: (name, before, after) of every setting that differs.
        networks: None unless both cover one space with equal classes and a common resolution.
    """

    before: str
    after: str
    moved: tuple[Moved, ...]
    steady: int
    median_ratio: float | None
    median_change: float | None
    p95_change: float | None
    new: tuple[str, ...]
    gone: tuple[str, ...]
    setup: tuple[tuple[str, str, str], ...]
    networks: Networks | None

    def slower_than(self, percent: float) -> tuple[str, ...]:
        """Return the moved entries, and the median network, that are slower by more than this.

        Raises:
            UsageError: the percentage is not a finite number above 0.
        """
        if not 0 < percent < inf:
            msg = f"--fail-over {percent:g} is not a percentage above 0; give one such as 5."
            raise UsageError(msg)
        limit = 1 + percent / 100
        slower = [entry.key for entry in self.moved if entry.ratio > limit]
        if self.networks and self.networks.median > limit:
            slower.insert(0, "the median network")
        return tuple(slower)


def diff(before: LatencyTable, after: LatencyTable, *, force: bool = False) -> TableDiff:
    """Compare two tables: an entry moved if its intervals do not overlap.

    Args:
        before: the older table.
        after: the newer table.
        force: compare tables although their precision, batch, space, classes or granularity
            differ.

    Raises:
        TableMismatchError: precision, batch, space, classes or granularity differ, and `force`
            is not given.
    """
    for what, one, other in _meaning(before, after):
        if one != other and not force:
            msg = (
                f"Tables {before.name} and {after.name} differ in {what}: {one} and {other}. "
                "Add --force to compare them anyway."
            )
            raise TableMismatchError(msg)
    common = [key for key in before.entries if key in after.entries]
    pairs = [(key, before.entries[key], after.entries[key]) for key in common]
    moved = [
        Moved(key=key, before_ns=a.p50_ns, after_ns=b.p50_ns, ratio=b.p50_ns / a.p50_ns)
        for key, a, b in pairs
        if b.low_ns > a.high_ns or b.high_ns < a.low_ns
    ]
    changes = [abs(b.p50_ns / a.p50_ns - 1) for _, a, b in pairs]
    return TableDiff(
        before=f"{before.name} ({before.table_id})",
        after=f"{after.name} ({after.table_id})",
        moved=tuple(sorted(moved, key=lambda entry: (-abs(log(entry.ratio)), entry.key))),
        steady=len(common) - len(moved),
        median_ratio=median(b.p50_ns / a.p50_ns for _, a, b in pairs) if pairs else None,
        median_change=float(np.median(changes)) if changes else None,
        p95_change=float(np.quantile(changes, 0.95)) if changes else None,
        new=tuple(sorted(key for key in after.entries if key not in before.entries)),
        gone=tuple(sorted(key for key in before.entries if key not in after.entries)),
        setup=tuple(_changes("", _circumstances(before), _circumstances(after))),
        networks=_networks(before, after),
    )


def _meaning(before: LatencyTable, after: LatencyTable) -> Iterator[tuple[str, Any, Any]]:
    yield "precision", before.setup.precision, after.setup.precision
    yield "batch", before.setup.batch, after.setup.batch
    yield "space", before.space, after.space
    yield "classes", before.classes, after.classes
    yield "granularity", before.granularity, after.granularity


def _circumstances(table: LatencyTable) -> dict[str, Any]:
    """Return how a table was made, without loads and dates, which always differ."""
    states: Sequence[dict[str, Any]] = [asdict(state) for state in table.conditions if state]
    clocks = [state.get("clocks_hz", ()) for state in states]
    return {
        **asdict(table.setup),
        "protocol": asdict(table.protocol) if table.protocol else None,
        "space": table.space,
        "classes": table.classes,
        "resolutions": table.resolutions,
        "granularity": table.granularity,
        "reference_ns": table.reference_ns,
        "overhead_ns": table.overhead_ns,
        "governor": [state.get("governor") for state in states],
        "clocks_hz": clocks,
        "temperature_c": [state.get("temperature_c") for state in states],
        "calibration": table.calibration.form,
        "provenance": sorted({entry.provenance for entry in table.entries.values()}),
        "hwnat": table.hwnat,
    }


def _changes(prefix: str, one: object, other: object) -> Iterator[tuple[str, str, str]]:
    """Yield every leaf that differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            inner = f"{prefix}.{name}" if prefix else name
            yield from _changes(inner, one.get(name), other.get(name))
    elif one != other:
        yield prefix, str(one), str(other)


def _networks(before: LatencyTable, after: LatencyTable) -> Networks | None:
    """Predict random networks with both tables, at the resolutions that both cover."""
    sizes = [size for size in before.resolutions if size in after.resolutions]
    same = (before.space, before.classes) == (after.space, after.classes)
    if before.space is None or before.classes is None or not same or not sizes:
        return None
    if before.setup.batch != after.setup.batch:
        return None
    space = replace(get_space(before.space), resolutions=tuple(sizes))
    drawn = space.sample(_NETWORKS, rng=np.random.default_rng(0))
    ratios = []
    for genome in [space.smallest(), *map(tuple, drawn.tolist()), space.largest()]:
        arch = Arch(space=space, genome=genome)
        ops = arch.ops(classes=before.classes, batch=before.setup.batch)
        keys = [op.key for op in ops]
        one, other = _latency_ns(before, keys), _latency_ns(after, keys)
        if one and other:
            ratios.append(other / one)
    if not ratios:
        return None
    return Networks(
        compared=len(ratios),
        uncovered=_NETWORKS + 2 - len(ratios),
        lowest=min(ratios),
        median=median(ratios),
        highest=max(ratios),
    )


def _latency_ns(table: LatencyTable, keys: Sequence[str]) -> float | None:
    """Return a network's calibrated latency, None if an operation has no entry."""
    if any(key not in table.entries for key in keys):
        return None
    return float(table.calibration.apply(table.sum_ns(keys), len(keys)))
