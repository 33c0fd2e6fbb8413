"""Adapt a table measured with one number of classes to networks with another.

Only the classifier differs; it multiplies one row by a matrix. Its time is a start plus a rate
per weight, fitted to the table's products of that kind. The interval spans both extremes: all
of the measured time is start, or none is.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec
from hwnat.records.space import Space
from hwnat.table.calibrate import nonnegative
from hwnat.table.dense import half_width_ns
from hwnat.table.entry import Entry, derived_entry
from hwnat.table.lookup import LatencyTable

#: Operations that multiply one row by a matrix.
_PRODUCTS: Final = ("mix", "linear")
#: Least relative error of an entry from its start and rate: products of one size differed by up
#: to a third.
_MISFIT: Final = 0.25


def with_classes(table: LatencyTable, space: Space, classes: int) -> LatencyTable:
    """Return the table for networks with `classes`, interpolating their classifiers' entries.

    Args:
        table: a table of `space`; returned unchanged if it was measured with that many classes.
        space: the table's space.
        classes: outputs of the classifier.

    Raises:
        UncoveredOpError: the table lacks the classifier that it was measured with.
        TableMismatchError: the table holds operators, not the blocks of a space.
    """
    _, held = table.of_space()
    if classes == held:
        return table
    batch = table.setup.batch
    entries = dict(table.entries)
    for _, skeleton in space.skeletons:
        known = OpSpec(
            kind="linear", in_shape=(batch, 1, 1, skeleton.mix_channels), out_channels=held
        )
        wanted = replace(known, out_channels=classes)
        if wanted.key not in entries:
            entries[wanted.key] = _priced(table, known, wanted)
    return replace(table, classes=classes, entries=entries)


def _priced(table: LatencyTable, known: OpSpec, wanted: OpSpec) -> Entry:
    """Interpolate a classifier from the one in the table."""
    if known.key not in table.entries:
        raise table.uncovered(known.key)
    entry = table.entries[known.key]
    weights, wanted_weights = op_cost(known).folded_params, op_cost(wanted).folded_params
    growth = wanted_weights / weights
    low, high = entry.low_ns * min(1.0, growth), entry.high_ns * max(1.0, growth)
    ns = max(low, entry.p50_ns + _rate(table) * (wanted_weights - weights))
    # An entry barely above its noise says little about a classifier many times as large.
    ends = min(low, ns / (1 + _MISFIT)), max(high, ns * (1 + _MISFIT))
    return derived_entry(ns, *ends, n=entry.n, provenance="interpolated")


def _rate(table: LatencyTable) -> float:
    """Fit the ns per weight to the table's own products.

    The start is assumed to take no longer than the quickest entry. Otherwise, products of nearly
    equal size could not separate start from rate.
    """
    products = [
        (op_cost(OpSpec.from_key(key)).folded_params, entry)
        for key, entry in table.entries.items()
        if key.partition("|")[0] in _PRODUCTS
    ]
    errors = np.array([max(half_width_ns(e), _MISFIT * e.p50_ns) for _, e in products])
    rows = np.array([(1.0, float(weights)) for weights, _ in products]) / errors[:, None]
    target = np.array([float(entry.p50_ns) for _, entry in products]) / errors
    quickest = min(entry.p50_ns for entry in table.entries.values())
    matrix = np.vstack([rows, [1 / quickest, 0.0]])
    return float(nonnegative(matrix, np.append(target, 0.0))[1])
