"""Entries for the operations of a table that nobody timed, each from what tells most about it.

Other devices' tables tell most, if there are any; then the same block at other map sizes; then
operations of the same kind. What none of them covers is an error.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hwnat.predict import interpolate
from hwnat.predict.learned import Estimates, Sample, fit_samples
from hwnat.predict.transfer import transfer
from hwnat.predict.workload import family, log_size
from hwnat.records.op import OpSpec
from hwnat.table.entry import MAX_NS, Entry, Filled
from hwnat.table.lookup import LatencyTable

_FOLDS: Final = 5
#: Map sizes of a block between which others are interpolated.
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
        timed: operation key to measured entry, on one device.
        wanted: keys without one.
        sources: tables of other devices to transfer from.
        seed: of random choices.

    Raises:
        UncoveredOpError: nothing covers one of `wanted`; the message names it.
    """
    entries, models = _predict(timed, wanted, sources=sources, seed=seed)
    return Filled(
        entries=entries,
        held_out_error=held_out_error(timed, sources=sources, seed=seed),
        models=models,
        sources=tuple(table.table_id for table in sources),
    )
