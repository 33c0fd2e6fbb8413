"""Derive the inputs of the transfer's regression from other devices' tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError
from hwnat.predict.gaussian import Floats, Inputs, Regression
from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable

Booleans = npt.NDArray[np.bool_]

#: Operations that two tables must share before one can fill the gaps of the other.
_MIN_SHARED: Final = 5
#: Most shared operations that this is learned from.
_MAX_SHARED: Final = 200
#: Differences between sources below this share of the largest are rounding.
_FLAT: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Operations that at least one source holds.

    Attributes:
        ops: the n operations, in the order of their keys.
        keys: the operations' keys, sorted.
        inputs: the regression's inputs.
        base: (n,) mean log latency over the sources.
    """

    ops: tuple[OpSpec, ...]
    keys: tuple[str, ...]
    inputs: Inputs
    base: Floats

    def rows(self, keys: Sequence[str]) -> list[int]:
        """Return the rows of those keys that a source holds."""
        index = {key: row for row, key in enumerate(self.keys)}
        return [index[key] for key in keys if key in index]


def relate(sources: Sequence[LatencyTable], *, seed: int = 0) -> Relation:
    """Align the tables of other devices on common rows.

    A source's gaps are filled by a transfer from the source that holds the most; the regression
    accounts for the variance of this.

    Raises:
        DataError: there is no source, one is given twice, or two have too little in common.
    """
    names = [table.name for table in sources]
    if not sources or len({table.table_id for table in sources}) < len(names):
        msg = f"Cannot transfer from {', '.join(names) or 'no table'}: name different tables."
        raise DataError(msg)
    every = sorted({key for table in sources for key in table.entries})
    # Nothing relates an opaque operation of one device to others.
    ops = tuple(op for op in map(OpSpec.from_key, every) if op.kind != "opaque")
    keys = tuple(op.key for op in ops)
    logs = np.array([[_log(table.entries, key) for table in sources] for key in keys])
    logs, extra = _filled(ops, logs, names, rng=np.random.default_rng(seed))
    inputs = _inputs(ops, logs, extra)
    return Relation(ops=ops, keys=keys, inputs=inputs, base=logs.mean(axis=1))


def without_sources(relation: Relation) -> Relation:
    """Describe the same operations by their work alone, as if there were no other device."""
    logs = np.log([[float(work(op))] for op in relation.ops])
    inputs = _inputs(relation.ops, logs, np.zeros(len(logs)))
    return replace(relation, inputs=inputs, base=logs[:, 0])


def work(op: OpSpec) -> int:
    """Return the multiply-accumulates, or the values written if there are none."""
    batch, height, width, channels = op.out_shape
    return max(op_cost(op).macs, batch * height * width * channels)


def _log(entries: Mapping[str, Entry], key: str) -> float:
    return float(np.log(entries[key].p50_ns)) if key in entries else float("nan")


def _inputs(ops: Sequence[OpSpec], logs: Floats, extra: Floats) -> Inputs:
    """Describe n operations from their (n, sources) log latencies and their shapes."""
    base = logs.mean(axis=1)
    params = np.log1p([[op_cost(op).folded_params] for op in ops])
    level, weights = _standard(base[:, None]), _standard(params)
    labels = [(op.kind, op.act, op.se_channels > 0, op.mode) for op in ops]
    numbers = {label: number for number, label in enumerate(sorted(set(labels)))}
    channels = [(op.in_shape[3], op.mid_channels or op.in_shape[3], op.out_shape[3]) for op in ops]
    return Inputs(
        level=level,
        contrasts=_contrasts(logs - base[:, None]),
        sizes=(
            _standard(np.log([[op.in_shape[1] * op.in_shape[2]] for op in ops])),
            weights,
            _standard(np.log(channels)),
            _standard(np.log([[op.kernel, op.stride, 1 + op.residual] for op in ops])),
        ),
        kind=np.array([numbers[label] for label in labels], np.int64),
        noise=np.concatenate([weights, level], axis=1),
        extra=extra,
    )


def _standard(columns: Floats) -> Floats:
    """Centre columns and divide them by their deviation; a constant column becomes zero."""
    centred = columns - columns.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(centred / np.where(deviation > 1e-9, deviation, 1.0))


def _contrasts(differences: Floats) -> Floats:
    """Rotate (n, sources) differences from the mean into independent columns, largest first.

    All are divided by the largest column's deviation, so that a device's mixture of sources has
    the same prior in every direction.
    """
    centred = differences - differences.mean(axis=0)
    columns, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = sizes > max(_FLAT * float(sizes[0]), 1e-9)
    if not kept.any():
        return np.zeros((len(differences), 0))
    scaled = columns[:, kept] * sizes[kept] / sizes[0]
    return np.asarray(scaled * np.sqrt(len(differences)))


def _filled(
    ops: Sequence[OpSpec], logs: Floats, names: Sequence[str], *, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Fill the gaps of (n, sources) logs; return them and the (n,) variance of their mean."""
    held = np.isfinite(logs)
    variance = np.zeros_like(logs)
    full, first = logs.copy(), int(held.sum(axis=0).argmax())
    others = [column for column in range(logs.shape[1]) if column != first]
    if not held[:, first].all():
        guesses = np.full_like(logs, np.nan)
        spread = np.full_like(logs, np.nan)
        for column in others:
            wanted = held[:, column] & ~held[:, first]
            pair = (column, first)
            guesses[wanted, column], spread[wanted, column] = _bridge(
                ops, logs, pair, wanted, names=names, rng=rng
            )
        empty = ~held[:, first]
        full[empty, first] = np.nanmean(guesses[empty], axis=1)
        variance[empty, first] = np.nanmean(spread[empty], axis=1)
    for column in others:
        wanted = ~held[:, column]
        full[wanted, column], variance[wanted, column] = _bridge(
            ops, full, (first, column), wanted, names=names, rng=rng
        )
    return full, variance.sum(axis=1) / logs.shape[1] ** 2


def _bridge(
    ops: Sequence[OpSpec],
    logs: Floats,
    pair: tuple[int, int],
    wanted: Booleans,
    *,
    names: Sequence[str],
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Predict one source from another; return the means and variances of the wanted rows."""
    given, asked = pair
    if not wanted.any():
        return np.zeros(0), np.zeros(0)
    shared = np.flatnonzero(np.isfinite(logs[:, given]) & np.isfinite(logs[:, asked]) & ~wanted)
    if len(shared) < _MIN_SHARED:
        msg = (
            f"Tables {names[given]} and {names[asked]} share only {len(shared)} operations; "
            "transfer from one of them."
        )
        raise DataError(msg)
    rows = np.concatenate([rng.permutation(shared)[:_MAX_SHARED], np.flatnonzero(wanted)])
    known = len(rows) - int(wanted.sum())
    here = logs[rows][:, [given]]
    inputs = _inputs([ops[row] for row in rows], here, np.zeros(len(rows)))
    model = Regression(inputs, range(known), (logs[rows[:known], asked] - here[:known, 0]))
    mean, deviation = model.predict(np.arange(known, len(rows)))
    return mean + here[known:, 0], deviation**2
