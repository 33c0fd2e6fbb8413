"""Predict the entries of a table's untimed operations, each from the best evidence there is.

Other devices' tables are the best evidence, then the same block at other map sizes, then
operations of the same kind. An operation that none of them covers is an error.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from hwnat.errors import UncoveredOpError
from hwnat.predict.features import model_kind
from hwnat.predict.interpolate import interpolate_entries
from hwnat.predict.learned import MIN_SAMPLES, OperatorModels, Sample, fit_samples
from hwnat.predict.transfer import MIN_TIMINGS, transfer
from hwnat.predict.workload import family, log_size
from hwnat.records.op import OpSpec
from hwnat.table.entry import Entry, Filled, FittedModel, derived_entry
from hwnat.table.lookup import LatencyTable
from hwnat.table.nearest import nearest_keys

#: Transfer from other devices; interpolate over map sizes, then use models; use models only.
Way = Literal["transfer", "sizes", "models"]

_FOLDS: Final = 5
#: Timed map sizes that a block needs before others are interpolated.
_SIZES: Final = 2


def fill(
    timed: Mapping[str, Entry],
    wanted: Sequence[str],
    *,
    sources: Sequence[LatencyTable] = (),
    seed: int = 0,
) -> Filled:
    """Predict the entries of `wanted` from `timed` and from other devices' tables.

    Args:
        timed: measured entries of one device, by operation key.
        wanted: keys without an entry.
        sources: tables of other devices to transfer from.
        seed: seed of random choices.

    Raises:
        UncoveredOpError: one of `wanted` cannot be predicted; the message names it.
    """
    # Sorted, so that regressors do not depend on the order of timing.
    timed = {key: timed[key] for key in sorted(timed)}
    error, way = _best_way(timed, sources=sources, seed=seed)
    predicted, models = _predict(timed, wanted, sources=sources, way=way, seed=seed)
    if missing := next((key for key in wanted if key not in predicted), None):
        raise UncoveredOpError(
            missing,
            table=f"of {len(timed)} timed operations",
            nearest=nearest_keys(missing, timed, count=1),
            remedy="the same `hwnat profile` command with a larger --budget, or without one",
        )
    return Filled(
        entries=predicted,
        held_out_error=error,
        models=models,
        sources=tuple(table.table_id for table in sources),
    )


def held_out_error(
    timed: Mapping[str, Entry], *, sources: Sequence[LatencyTable] = (), seed: int = 0
) -> float:
    """Return the mean absolute relative error of timed entries, each predicted from the others.

    This is five-fold cross-validation. Entries that the others do not cover are not counted; if
    none can be predicted, the error is 1.
    """
    return _best_way(timed, sources=sources, seed=seed)[0]


def _best_way(
    timed: Mapping[str, Entry], *, sources: Sequence[LatencyTable], seed: int
) -> tuple[float, Way]:
    """Return the least held-out error and the way that reaches it."""
    ways: tuple[Way, ...] = ("transfer",) if sources else ("models",)
    if not sources and len(set(map(family, map(OpSpec.from_key, timed)))) < len(timed):
        ways = ("sizes", "models")
    tried = [
        (_left_out(timed, sources=sources, way=way, seed=seed), index)
        for index, way in enumerate(ways)
    ]
    error, best = min(tried)
    return error, ways[best]


def _left_out(
    timed: Mapping[str, Entry], *, sources: Sequence[LatencyTable], way: Way, seed: int
) -> float:
    keys = sorted(timed)
    folds = np.random.default_rng(seed).permutation(len(keys)) % _FOLDS
    _, chosen = _predict(timed, (), sources=sources, way=way, seed=seed)
    errors: list[float] = []
    for fold in range(_FOLDS):
        left = [key for key, at in zip(keys, folds, strict=True) if at == fold]
        kept = {key: timed[key] for key in keys if key not in set(left)}
        predicted, _ = _predict(kept, left, sources=sources, way=way, chosen=chosen, seed=seed)
        errors += [abs(predicted[key].p50_ns / timed[key].p50_ns - 1) for key in predicted]
    return float(np.mean(errors)) if errors else 1.0


def _predict(
    timed: Mapping[str, Entry],
    wanted: Sequence[str],
    *,
    sources: Sequence[LatencyTable],
    way: Way,
    chosen: Sequence[FittedModel] = (),
    seed: int,
) -> tuple[dict[str, Entry], tuple[FittedModel, ...]]:
    """Return the entries of `wanted` that can be predicted, and the models used."""
    if sources:
        held = {key for table in sources for key in table.entries}
        covered = [key for key in wanted if key in held]
        if len(held & timed.keys()) < MIN_TIMINGS:
            return {}, ()
        return transfer(sources, timed, keys=covered, seed=seed), ()
    sizes: dict[str, set[float]] = {}
    for op in map(OpSpec.from_key, timed):
        sizes.setdefault(family(op), set()).add(log_size(op))
    ops = [OpSpec.from_key(key) for key in wanted]
    near = [op for op in ops if way == "sizes" and len(sizes.get(family(op), ())) >= _SIZES]
    entries = dict(interpolate_entries(timed, near).entries) if near else {}
    samples = [
        Sample(op=op, latency_ns=entry.p50_ns)
        for op, entry in zip(map(OpSpec.from_key, timed), timed.values(), strict=True)
        if op.kind != "opaque"
    ]
    if max(Counter(model_kind(sample.op) for sample in samples).values(), default=0) < MIN_SAMPLES:
        return entries, ()
    models = fit_samples(samples, seed=seed, name="the timed operations", chosen=chosen)
    far = [op for op in ops if op.key not in entries and models.covers(op)]
    entries |= _estimated(models, far, n=len(timed))
    return {key: entries[key] for key in wanted if key in entries}, models.fitted


def _estimated(models: OperatorModels, ops: Sequence[OpSpec], *, n: int) -> dict[str, Entry]:
    """Return the models' entries; the interval is wider outside the trained range."""
    if not ops:
        return {}
    estimates = models.predict(ops)
    rows = np.stack([estimates.ns, estimates.low_ns, estimates.high_ns]).T.tolist()
    return {
        op.key: derived_entry(*ends, n=n, provenance="estimated")
        for op, ends in zip(ops, rows, strict=True)
    }
