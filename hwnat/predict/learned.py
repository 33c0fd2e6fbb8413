"""Predict operations that were not measured from those that were.

Each kind of operation has one model: a roofline, and a regressor for its errors, chosen by
cross-validation. Nothing is pickled: a table keeps the choice, and the model is fitted again to
the table's own measured entries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UncoveredOpError
from hwnat.predict.choice import Sample as Sample
from hwnat.predict.choice import arrays, choose, fit_pair, predict_pair
from hwnat.predict.features import EXTENT, NAMES, model_kind, row, work
from hwnat.records.op import OpSpec
from hwnat.table.entry import MAX_NS, TIMED, FittedModel
from hwnat.table.lookup import LatencyTable
from hwnat.table.nearest import nearest_keys

Floats = npt.NDArray[np.float64]

#: Fewest different operations of a kind to fit a model to.
MIN_SAMPLES: Final = 5
#: An interval grows by its own width for every octave beyond the trained range.
_WIDER: Final = 1.0
#: Sizes up to this far beyond the trained range, in octaves, still count as inside.
_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEstimates:
    """Predictions for (n,) operations.

    Attributes:
        ns: latencies in nanoseconds.
        low_ns: `low_ns` to `high_ns` is a 90 % interval for sizes inside the trained range.
        in_range: False where a size is outside the trained range.
    """

    ns: Floats
    low_ns: Floats
    high_ns: Floats
    in_range: npt.NDArray[np.bool_]


class OperatorModel:
    """A fitted model of one kind of operation; `fitted` is enough to fit it again."""

    def __init__(self, fitted: FittedModel, samples: Sequence[Sample]) -> None:
        self.fitted = fitted
        x, amounts, ns = arrays(samples)
        self._roofline, self._regressor = fit_pair(fitted, x, amounts, ns)
        extent = x[:, [NAMES.index(name) for name in EXTENT]]
        self._low, self._high = extent.min(axis=0), extent.max(axis=0)

    def predict(self, ops: Sequence[OpSpec]) -> OperatorEstimates:
        """Predict operations of this kind; `in_range` marks those inside the trained range."""
        x = np.stack([row(op) for op in ops])
        ns = predict_pair(self._roofline, self._regressor, x, np.stack([work(op) for op in ops]))
        if not (np.isfinite(ns) & (ns > 0)).all():
            msg = f"The model of {self.fitted.kind} predicts {ns.min():g} ns; fit it again."
            raise DataError(msg)
        extent = x[:, [NAMES.index(name) for name in EXTENT]]
        beyond = np.maximum(self._low - extent, extent - self._high).max(axis=1).clip(min=0)
        beyond[beyond <= _TOLERANCE] = 0
        octaves = 1 + _WIDER * np.ceil(beyond)
        factor = np.exp(np.minimum(octaves * np.log1p(self.fitted.half_width), log(MAX_NS)))
        return OperatorEstimates(
            ns=ns, low_ns=ns / factor, high_ns=ns * factor, in_range=beyond == 0
        )


class OperatorModels:
    """Models of several kinds of operation behind one interface.

    Args:
        models: models by kind, as `model_kind` names it.
        table: name of the training data, for messages.
        keys: keys of the training operations, for messages.
    """

    def __init__(
        self, models: Mapping[str, OperatorModel], *, table: str, keys: Sequence[str]
    ) -> None:
        self._models = models
        self._table = table
        self._keys = keys

    @property
    def fitted(self) -> tuple[FittedModel, ...]:
        """The chosen families and settings, which a table stores."""
        return tuple(self._models[kind].fitted for kind in sorted(self._models))

    def covers(self, op: OpSpec) -> bool:
        """Return whether there is a model for this kind of operation."""
        return op.kind != "opaque" and model_kind(op) in self._models

    def predict(self, ops: Sequence[OpSpec]) -> OperatorEstimates:
        """Predict (n,) operations, which may be of different kinds.

        Raises:
            UncoveredOpError: an operation has no model; nothing is skipped.
        """
        if missing := next((op for op in ops if not self.covers(op)), None):
            raise self._uncovered(missing)
        ns, low, high = (np.zeros(len(ops)) for _ in range(3))
        inside = np.zeros(len(ops), bool)
        kinds = [model_kind(op) for op in ops]
        for kind in sorted(set(kinds)):
            where = [index for index, of_kind in enumerate(kinds) if of_kind == kind]
            estimates = self._models[kind].predict([ops[index] for index in where])
            ns[where], low[where], high[where] = estimates.ns, estimates.low_ns, estimates.high_ns
            inside[where] = estimates.in_range
        return OperatorEstimates(ns=ns, low_ns=low, high_ns=high, in_range=inside)

    def _uncovered(self, op: OpSpec) -> UncoveredOpError:
        return UncoveredOpError(
            op.key,
            table=f"{self._table}, nor a model of its kind and type",
            nearest=nearest_keys(op.key, self._keys, count=1),
            remedy=f"hwnat profile, at least {MIN_SAMPLES} shapes of {model_kind(op)}",
        )


def fit_samples(
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    name: str = "measurements",
    chosen: Iterable[FittedModel] = (),
) -> OperatorModels:
    """Fit a model to every kind with enough different operations; `seed` makes it deterministic.

    Args:
        samples: measured operations; equal ones are averaged, and opaque ones are left out.
        seed: seed of the folds and regressors.
        name: name of the measurements, for messages.
        chosen: models chosen earlier; their kinds are refitted without choosing again.

    Raises:
        DataError: no kind has enough samples, or they are of several data types.
    """
    kinds: dict[str, list[Sample]] = {}
    samples = [sample for sample in samples if sample.op.kind != "opaque"]
    for sample in samples:
        kinds.setdefault(model_kind(sample.op), []).append(sample)
    enough = {
        kind: of_kind
        for kind, of_kind in kinds.items()
        if len({sample.op for sample in of_kind}) >= MIN_SAMPLES
    }
    if not enough:
        msg = (
            f"{name}: {len(samples)} operations are not enough for a model; it needs "
            f"{MIN_SAMPLES} different ones of one kind and one type."
        )
        raise DataError(msg)
    earlier = {model.kind: model for model in chosen}
    models = {
        kind: OperatorModel(earlier.get(kind) or choose(kind, of_kind, seed=seed), of_kind)
        for kind, of_kind in enough.items()
    }
    keys = sorted({sample.op.key for sample in samples})
    return OperatorModels(models, table=name, keys=keys)


def fit_models(table: LatencyTable, *, seed: int = 0) -> OperatorModels:
    """Fit models to a table's measured or imported entries, reusing the choice that it stores.

    Raises:
        DataError: the table has too few of these entries.
    """
    samples = [
        Sample(op=OpSpec.from_key(key), latency_ns=entry.p50_ns)
        for key, entry in table.entries.items()
        if entry.provenance in (*TIMED, "imported")
    ]
    return fit_samples(samples, seed=seed, name=table.name, chosen=table.models)
