"""Score a table at resolutions it lacks, against sums from tables at those resolutions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UncoveredOpError, UsageError
from hwnat.predict.interpolate import Interpolated, interpolate_entries
from hwnat.predict.score import Agreement, Evaluation, agreement, evaluation
from hwnat.predict.workload import family
from hwnat.records.cost import total_cost
from hwnat.records.grid import Grid, distinct_ops, grid
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space
from hwnat.table.entry import Entry
from hwnat.table.importers.base import Imported, Request, import_files

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTable:
    """A published block table, cut by resolution.

    Attributes:
        space: the space of the blocks; its resolutions do not matter.
        classes: outputs of the classifier.
        known: the entries that a method may use.
        resolutions: the resolutions that `known` covers.
        hidden: the entries of the truth, by resolution.
    """

    space: Space
    classes: int
    known: Mapping[str, Entry]
    resolutions: tuple[int, ...]
    hidden: Mapping[int, Mapping[str, Entry]]


def evaluate_offgrid(
    tables: Sequence[str | Path],
    test: Sequence[str | Path],
    networks: int = 1000,
    *,
    seed: int,
    file_format: str = "ofa-yaml",
) -> Evaluation:
    """Predict random networks at the resolutions of `test` from `tables` alone.

    Args:
        tables: files of one device; their entries determine the resolutions that they cover.
        test: files of that device at other resolutions; a network's truth is its sum in them.
        networks: number of networks, spread evenly over the resolutions of `test`.
        seed: seed for drawing the networks.
        file_format: importer name for all files.

    Raises:
        DataError: a file is damaged, or does not hold all blocks of a space at a resolution.
        UsageError: there is no file, both sides share a resolution, or there are fewer networks
            than resolutions.
    """
    request = Request(device="published")
    seen = import_files(file_format, tables, request)
    apart = [import_files(file_format, [each], request) for each in test]
    if not apart:
        msg = "Name at least one file of another resolution with --test."
        raise UsageError(msg)
    hidden: dict[int, Mapping[str, Entry]] = {}
    for each in apart:
        if (each.space, each.classes) != (seen.space, seen.classes) or seen.space is None:
            raise _other_space(seen, each)
        for resolution in each.resolutions:
            if resolution in seen.resolutions or resolution in hidden:
                msg = (
                    f"Resolution {resolution} of {each.sources[0].name} is also in another file; "
                    "name each resolution once."
                )
                raise UsageError(msg)
            hidden[resolution] = each.entries
    published = SplitTable(
        space=get_space(seen.space or ""),
        classes=seen.classes or 0,
        known=seen.entries,
        resolutions=seen.resolutions,
        hidden=hidden,
    )
    left_out = [*seen.unmapped, *(key for each in apart for key in each.unmapped)]
    return score_offgrid(published, networks, seed=seed, facts={"left_out": left_out})


def _other_space(seen: Imported, other: Imported) -> DataError:
    """Return the error for files of different spaces; it names the missing blocks."""
    name = other.sources[0].name
    if seen.space is None:
        names = ", ".join(each.name for each in seen.sources)
        return DataError(f"{names}: no file holds all blocks of a known space at a resolution.")
    if other.space is None:
        lacks = _lacks(other, get_space(seen.space), seen.classes or 1)
        return DataError(
            f"{name}: does not hold all blocks of {seen.space} at a resolution{lacks}. "
            "Get the whole file."
        )
    return DataError(
        f"{name}: of space {other.space} with {other.classes} classes, "
        f"the tables of {seen.space} with {seen.classes}; compare tables of one space."
    )


def _lacks(other: Imported, space: Space, classes: int) -> str:
    """Describe what a file lacks at the resolution of its stem."""
    ops = [OpSpec.from_key(key) for key in other.entries]
    size = next((op.in_shape[1] for op in ops if op.kind == "conv" and op.in_shape[3] == 3), None)
    if size is None:
        return ": it has no stem"
    wanted = distinct_ops(replace(space, resolutions=(size,)), (size,), classes=classes)
    missing = [op.key for op in wanted if op.key not in other.entries]
    return f": {len(missing)} are missing at {size}, such as {missing[0]}" if missing else ""


def score_offgrid(
    published: SplitTable,
    networks: int,
    *,
    seed: int,
    facts: Mapping[str, str | int | float | bool | list[str] | None] | None = None,
) -> Evaluation:
    """Score interpolation and simpler methods on random networks.

    Raises:
        UsageError: there are fewer networks than hidden resolutions.
        UncoveredOpError: a block cannot be interpolated, or the truth lacks one.
    """
    resolutions = sorted(published.hidden)
    if networks < len(resolutions):
        msg = (
            f"{networks} networks are too few for {len(resolutions)} resolutions; give --networks."
        )
        raise UsageError(msg)
    batches = _draw(published, networks, seed=seed)
    wanted = {op.key: op for each in batches.values() for op in each.ops}
    filled = interpolate_entries(published.known, wanted.values(), name="published")
    truth = np.concatenate([batches[r].sums(_ns(published.hidden[r])) for r in resolutions])
    own = [_sums(filled, batches[r]) for r in resolutions]
    predicted, low, high = (np.concatenate(each) for each in zip(*own, strict=True))
    said: dict[str, str | int | float | bool | list[str] | None] = {
        "seed": seed,
        "tables": [str(each) for each in published.resolutions],
        "test": [str(each) for each in resolutions],
        "tile": filled.tile,
        "interpolated_entries": len(filled.interpolated),
        "looked_up_entries": len(filled.entries) - len(filled.interpolated),
        "bias_by_resolution": _biases(resolutions, batches, predicted / truth - 1),
    }
    return evaluation(
        agreement(predicted, truth, (low, high)),
        baselines=_baselines(published, batches, truth),
        facts={**said, **(facts or {})},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Random networks at one resolution.

    Attributes:
        genomes: (n, genes) genomes.
        ops: distinct operations of all networks at that resolution.
        counts: (n, len(ops)) times that each network runs each operation.
    """

    genomes: Integers
    ops: tuple[OpSpec, ...]
    counts: Integers

    def sums(self, ns: Mapping[str, float]) -> Floats:
        """Return the (n,) sums of the latencies in ns."""
        return np.asarray(self.counts @ np.array([_of(ns, op) for op in self.ops]))


def _of(ns: Mapping[str, float], op: OpSpec) -> float:
    try:
        return ns[op.key]
    except KeyError:
        raise UncoveredOpError(
            op.key, table="published", nearest=(), remedy="hwnat table import"
        ) from None


def _ns(entries: Mapping[str, Entry]) -> dict[str, float]:
    return {key: float(each.p50_ns) for key, each in entries.items()}


def _draw(published: SplitTable, networks: int, *, seed: int) -> dict[int, _Batch]:
    """Draw networks; hidden resolutions take turns."""
    resolutions = sorted(published.hidden)
    space = replace(published.space, resolutions=tuple(resolutions))
    genomes = space.sample(networks, rng=np.random.default_rng(seed))
    turns = np.arange(networks) % len(resolutions)
    return {
        resolution: _batch(published, genomes[turns == index], resolution)
        for index, resolution in enumerate(resolutions)
    }


def _batch(published: SplitTable, genomes: Integers, resolution: int) -> _Batch:
    """Count the operations of genomes at this resolution, ignoring their resolution genes."""
    space = replace(published.space, resolutions=(resolution,))
    grids = {
        width: grid(space, resolution, width, classes=published.classes)
        for width, _ in space.skeletons
    }
    ops = tuple({op.key: op for each in grids.values() for op in each}.values())
    column = {op.key: index for index, op in enumerate(ops)}
    counts = np.zeros((len(genomes), len(ops)), np.int64)
    for row, genome in zip(counts, genomes, strict=True):
        for op in _run(grids[int(genome[1])], genome):
            row[column[op.key]] += 1
    return _Batch(genomes=genomes, ops=ops, counts=counts)


def _run(choices: Grid, genome: Integers) -> list[OpSpec]:
    """List the operations that a genome runs."""
    blocks = zip(choices.blocks, genome[2:], strict=True)
    return [*choices.fixed, *(slot[gene - 1] for slot, gene in blocks if gene)]


def _sums(filled: Interpolated, batch: _Batch) -> tuple[Floats, Floats, Floats]:
    """Return the predictions, lows and highs of a batch."""
    column = {key: index for index, key in enumerate(filled.entries)}
    counts = np.zeros((len(batch.counts), len(column)), np.int64)
    counts[:, [column[op.key] for op in batch.ops]] = batch.counts
    return filled.sums(counts)


def _biases(resolutions: Sequence[int], batches: Mapping[int, _Batch], errors: Floats) -> list[str]:
    ends = np.cumsum([len(batches[each].genomes) for each in resolutions])[:-1]
    parts = np.split(errors, ends)
    return [f"{r}: {part.mean():+.4f}" for r, part in zip(resolutions, parts, strict=True)]


def _baselines(
    published: SplitTable, batches: Mapping[int, _Batch], truth: Floats
) -> dict[str, Agreement]:
    known = _ns(published.known)
    of_maps = _LinearInMapPixels(known)
    found: dict[str, list[Floats]] = {}
    for resolution, batch in sorted(batches.items()):
        near = sorted(published.resolutions, key=lambda each: abs(each - resolution))[:2]
        there = [_batch(published, batch.genomes, each) for each in near]
        sums = [each.sums(known) for each in there]
        macs = [_macs(each) for each in (batch, there[0])]
        answers = {
            "linear_in_image_pixels": _between(near, sums, resolution),
            "linear_in_map_pixels": batch.sums({op.key: of_maps.ns(op) for op in batch.ops}),
            "nearest_scaled_by_macs": sums[0] * macs[0] / macs[1],
        }
        for name, each in answers.items():
            found.setdefault(name, []).append(each)
    return {name: agreement(np.concatenate(each), truth) for name, each in found.items()}


def _between(near: Sequence[int], sums: Sequence[Floats], resolution: int) -> Floats:
    """Interpolate linearly in pixels between the nearest measured resolutions."""
    if len(near) < 2:
        return sums[0] * (resolution / near[0]) ** 2
    first, second = (each**2 for each in near)
    share = (resolution**2 - first) / (second - first)
    return np.asarray(sums[0] * (1 - share) + sums[1] * share)


def _macs(batch: _Batch) -> Floats:
    return np.asarray(batch.counts @ np.array([total_cost([op]).macs for op in batch.ops], float))


class _LinearInMapPixels:
    """Interpolates blocks linearly in map pixels between the nearest two measured sizes."""

    def __init__(self, known: Mapping[str, float]) -> None:
        self._known = known
        self._sizes: dict[str, list[tuple[int, float]]] = {}
        for key, ns in known.items():
            op = OpSpec.from_key(key)
            self._sizes.setdefault(family(op), []).append((_pixels(op), ns))

    def ns(self, op: OpSpec) -> float:
        if op.key in self._known:
            return self._known[op.key]
        pixels, sizes = _pixels(op), sorted(self._sizes[family(op)])
        high = next((i for i, (each, _) in enumerate(sizes) if each > pixels), len(sizes) - 1)
        (x0, y0), (x1, y1) = sizes[max(high, 1) - 1], sizes[max(high, 1)]
        return y0 + (y1 - y0) * (pixels - x0) / (x1 - x0)


def _pixels(op: OpSpec) -> int:
    return op.in_shape[1] * op.in_shape[2]
