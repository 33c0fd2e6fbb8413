"""Fill a block table at map sizes that were not measured.

A measured block is looked up by the true size of its map: strides round up, so most deep blocks
at an off-grid resolution have the map of a measured one. For the others, a model of the work in
tiles of pixels accounts for alignment. The rest of the latency is smooth over the map size and
shared by related blocks, so it is interpolated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import TableMismatchError, UncoveredOpError, UsageError
from hwnat.predict.size_model import fit
from hwnat.predict.workload import family, log_size
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import Space
from hwnat.table.entry import Z90, Entry, derived_entry
from hwnat.table.lookup import LatencyTable
from hwnat.table.nearest import nearest_keys

Floats = npt.NDArray[np.float64]

#: Derived entries are never learned from.
_LEARNED_FROM: Final = ("measured", "imported")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpolated:
    """The requested entries and the covariance of their errors.

    Attributes:
        entries: the entries by key, in the requested order; the table's own are unchanged.
        interpolated: keys that the table lacked.
        covariance: (n, n) covariance of the entries' logarithms, against a new measurement.
        shared: standard deviation of the error that all entries of a resolution share, estimated
            by leaving out sizes.
        tile: the chosen number of pixels in a tile.
    """

    entries: Mapping[str, Entry]
    interpolated: tuple[str, ...]
    covariance: Floats
    shared: float
    tile: int

    def sums(self, counts: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return the (m,) sums of entries in ns, and the lows and highs of their 90 % intervals.

        Args:
            counts: (m, n) uses of each entry in each network.
        """
        shares = np.asarray(counts) * [float(entry.p50_ns) for entry in self.entries.values()]
        totals = shares.sum(axis=1)
        shares /= totals[:, None]
        variance = np.einsum("mi,ij,mj->m", shares, self.covariance, shares, optimize=True)
        width = np.exp(Z90 * np.sqrt(variance + self.shared**2))
        return totals, totals / width, totals * width


def interpolate(table: LatencyTable, space: Space, resolutions: Sequence[int]) -> LatencyTable:
    """Return the table with entries for all operations of its space at `resolutions`.

    Entries inside the range of measured map sizes are `interpolated`, others `estimated`.

    Args:
        table: a table with at least two measured sizes of each block to fill.
        space: the table's space; its list of resolutions does not limit the new ones.
        resolutions: input image sizes, in pixels.

    Raises:
        UncoveredOpError: a block was not measured at two sizes.
        TableMismatchError: the table is for another space.
    """
    name, classes = table.of_space()
    if name != space.name:
        msg = f"Table {table.name} is of space {name}, not {space.name}; give --space {name}."
        raise TableMismatchError(msg)
    wanted = distinct_ops(
        replace(space, resolutions=tuple(resolutions)),
        resolutions,
        classes=classes,
        batch=table.setup.batch or 1,
    )
    filled = interpolate_entries(table.entries, wanted, name=table.name)
    return replace(
        table,
        entries={**table.entries, **filled.entries},
        resolutions=tuple(sorted({*table.resolutions, *resolutions})),
    )


def interpolate_entries(
    entries: Mapping[str, Entry], wanted: Iterable[OpSpec], *, name: str = "given"
) -> Interpolated:
    """Look up existing entries and interpolate the rest over map sizes; deterministic.

    Args:
        entries: entries by operation key; only measured and imported ones are learned from.
        wanted: operations; each needs an entry, or two measured sizes of its family.
        name: the table's name, for messages.

    Raises:
        UncoveredOpError: an operation has neither.
        UsageError: `wanted` is empty, or no operation of a wanted kind was measured.
    """
    ops = {op.key: op for op in wanted}
    learned = [OpSpec.from_key(k) for k, e in entries.items() if e.provenance in _LEARNED_FROM]
    known = {op.key: op for op in learned if op.kind != "opaque"}
    new = [op for key, op in ops.items() if key not in entries]
    sizes = _sizes(known.values())
    _check(new, sizes, entries, name=name)
    kinds = {op.kind for op in (new or ops.values())}
    learned_from = [op for op in known.values() if op.kind in kinds]
    if not learned_from:
        msg = (
            f"Table {name}: none of the operations asked for is of a measured kind; ask for others."
        )
        raise UsageError(msg)
    model = fit(learned_from, np.array([float(entries[op.key].p50_ns) for op in learned_from]))
    new_ns, covariance = model.predict(new)
    noise = 2 * model.parts.noise**2
    whole = np.diag([noise if key in known else _variance(entries.get(key)) for key in ops])
    at = [index for index, key in enumerate(ops) if key not in entries]
    whole[np.ix_(at, at)] = covariance
    made = {
        op.key: _entry(
            float(ns), float(variance) + model.shared**2, sizes[family(op)], log_size(op)
        )
        for op, ns, variance in zip(new, new_ns, np.diag(covariance), strict=True)
    }
    return Interpolated(
        entries={key: made[key] if key in made else entries[key] for key in ops},
        interpolated=tuple(made),
        covariance=whole,
        shared=model.shared,
        tile=model.tile,
    )


def _sizes(ops: Iterable[OpSpec]) -> dict[str, list[float]]:
    """Return the sorted distinct log sizes of each family."""
    sizes: dict[str, set[float]] = {}
    for op in ops:
        sizes.setdefault(family(op), set()).add(log_size(op))
    return {name: sorted(logs) for name, logs in sizes.items()}


def _check(
    new: Iterable[OpSpec],
    sizes: Mapping[str, Sequence[float]],
    entries: Mapping[str, Entry],
    *,
    name: str,
) -> None:
    """Refuse an operation whose family was not measured at two sizes."""
    for op in new:
        if len(sizes.get(family(op), ())) < 2:
            raise UncoveredOpError(
                op.key,
                table=name,
                nearest=nearest_keys(op.key, entries),
                remedy=f"hwnat profile --device NAME --space SPACE --op '{op.key}'",
            )


def _variance(entry: Entry | None) -> float:
    """Return the variance that an entry's interval implies, or 0 for a missing entry."""
    if entry is None:
        return 0.0
    return float(np.log(entry.high_ns / entry.low_ns) / (2 * Z90)) ** 2


def _entry(ns: float, variance: float, sizes: Sequence[float], size: float) -> Entry:
    """Make an entry from a prediction, its log variance and the measured `sizes`."""
    width = float(np.exp(Z90 * np.sqrt(variance)))
    return derived_entry(
        ns,
        ns / width,
        ns * width,
        n=len(sizes),
        provenance="interpolated" if sizes[0] <= size <= sizes[-1] else "estimated",
    )
