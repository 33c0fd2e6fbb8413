"""An entry of a latency table and its provenance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from hwnat.errors import DataError

#: Above an hour; sums of so many nanoseconds still fit into 64 bits with room for a count.
MAX_NS: Final = 1 << 42

#: Half of a normal distribution's central 90 %, in standard deviations.
Z90: Final = 1.645
#: Standard error of a median over that of a mean, over an interquartile range in deviations.
_MEDIAN_ERROR: Final = 1.2533 / 1.349
#: More than any deviation over any latency.
_MAX_SPREAD: Final = 1e15
#: Fewer visits say nothing about their spread, which then counts as at least so much.
_FEW_VISITS: Final = 3
_UNKNOWN_SPREAD: Final = 0.1

#: Least and most of a regressor's hyperparameters: more work, not better predictions.
_SETTINGS: Final[Mapping[str, tuple[float, float]]] = {
    "trees": (1, 1000),
    "depth": (1, 30),
    "columns": (0.01, 1),
    "rows": (0.01, 1),
    "rate": (0.001, 1),
    "smoothness": (0.5, 2.5),
}
#: No interval reaches further than all latencies that there are.
MAX_HALF_WIDTH: Final = float(MAX_NS)

Provenance = Literal[
    "measured",
    "measured in place",
    "share of profile",
    "interpolated",
    "transferred",
    "imported",
    "estimated",
]
#: What was timed on the device itself.
TIMED: Final[tuple[Provenance, ...]] = ("measured", "measured in place", "share of profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Latency of one operation.

    Attributes:
        p50_ns: median over the visits of (operation / reference model), times the reference's
            long-run median, minus the table's overhead.
        p10_ns: tenth percentile of single runs on the same scale; `p90_ns` is the ninetieth.
            Equal to the ends of the interval if this operation was not timed on this device.
        low_ns: lower end of the 90 % interval of the latency; `high_ns` is the upper end.
        n: number of runs, or of measurements that the entry was derived from.
        spread: interquartile range of the visits' ratios over their median.
        provenance: measured on the device; measured in place, as a piece of a network that was
            timed whole; a share of such a network in the runtime's own profile; interpolated from
            other shapes on it, transferred from other devices, imported from a file, or estimated
            by a model of operators or hardware.
    """

    p10_ns: int
    p50_ns: int
    p90_ns: int
    low_ns: int
    high_ns: int
    n: int
    spread: float
    provenance: Provenance = "measured"

    def __post_init__(self) -> None:
        if not 0 < self.p10_ns <= self.p50_ns <= self.p90_ns < MAX_NS or self.n < 1:
            msg = (
                f"latencies {self.p10_ns}, {self.p50_ns}, {self.p90_ns} ns of {self.n} runs "
                "are not those of a measurement"
            )
            raise DataError(msg)
        if not 0 < self.low_ns <= self.p50_ns <= self.high_ns < MAX_NS:
            msg = f"interval {self.low_ns} to {self.high_ns} ns does not hold {self.p50_ns} ns"
            raise DataError(msg)
        if not 0 <= self.spread < _MAX_SPREAD:
            msg = f"spread {self.spread} is not possible"
            raise DataError(msg)


def derived_entry(
    ns: float,
    low_ns: float,
    high_ns: float,
    *,
    n: int,
    provenance: Provenance,
    spread: float = 0.0,
) -> Entry:
    """Return the entry of an operation whose own runs were not timed.

    Values are rounded to whole nanoseconds and kept within those that a table can hold. The
    percentiles of single runs are the ends of the interval, because there are no runs.

    Args:
        ns: the latency.
        low_ns: lower end of its 90 % interval.
        high_ns: upper end.
        n: measurements that it was derived from.
        provenance: how it was derived.
        spread: of the visits that it was derived from, if there were any.

    Raises:
        DataError: a value is not a number.
    """
    if not (math.isfinite(ns) and math.isfinite(low_ns) and math.isfinite(high_ns)):
        msg = f"A latency of {ns} ns, in {low_ns} to {high_ns} ns, is not finite."
        raise DataError(msg)
    p50 = min(max(1, round(ns)), MAX_NS - 1)
    low, high = max(1, min(p50, round(low_ns))), min(max(p50, round(high_ns)), MAX_NS - 1)
    return Entry(
        p10_ns=low,
        p50_ns=p50,
        p90_ns=high,
        low_ns=low,
        high_ns=high,
        n=n,
        spread=spread,
        provenance=provenance,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The files that a table was imported from.

    Attributes:
        format: name in the entry-point group `hwnat.importers`.
        files: name, without folder, to SHA-256 of each file.
        unit: unit of the latencies in the files.
        left_out: key in a file to the reason why it was not imported.
    """

    format: str
    files: Mapping[str, str]
    unit: str
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """A regressor for one kind of operation, described so that it can be fitted again.

    Its training set is the table's own measured entries, so nothing is pickled.

    Attributes:
        kind: of operation.
        family: which regressor.
        settings: its hyperparameters.
        seed: of its random choices.
        n: entries it was fitted to.
        cv_error: mean absolute relative error in cross-validation.
        half_width: relative half-width of its interval, conformal at 90 %.
    """

    kind: str
    family: str
    settings: Mapping[str, float]
    seed: int
    n: int
    cv_error: float
    half_width: float

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            least, most = _SETTINGS.get(name, (0.0, math.inf))
            if not (math.isfinite(value) and least <= value <= most):
                msg = f"model of {self.kind}: {name} {value:g} is not in {least:g} to {most:g}"
                raise DataError(msg)
        if not (0 <= self.seed < 1 << 32 and self.n >= 1):
            msg = f"model of {self.kind}: seed {self.seed} or {self.n} entries are not possible"
            raise DataError(msg)
        if not (0 <= self.cv_error < math.inf and 0 <= self.half_width <= MAX_HALF_WIDTH):
            msg = (
                f"model of {self.kind}: error {self.cv_error:g} or half-width "
                f"{self.half_width:g} is not possible"
            )
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How many operations were timed for a table, and how much more timings would help.

    Attributes:
        timed: number of entries that were timed on the device.
        filled: number of entries derived from those or from other devices' tables.
        curve: (timings, mean relative error of held-out entries) after each batch.
        target_error: error at which timing was to stop; None if there was only a budget.
        expected_error: expected error with twice the timings; None if the curve is too short.
    """

    timed: int
    filled: int
    curve: tuple[tuple[int, float], ...]
    target_error: float | None
    expected_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Entries that were derived instead of timed.

    Attributes:
        entries: key to entry; none is measured.
        held_out_error: mean absolute relative error on timed entries that were held out.
        models: regressors that were fitted, for further shapes.
        sources: ids of other devices' tables.
    """

    entries: Mapping[str, Entry]
    held_out_error: float
    models: tuple[FittedModel, ...] = ()
    sources: tuple[str, ...] = ()


def median_error(spread: float, visits: int) -> float:
    """Return the standard error of a median over visits, relative like `spread`.

    Source: the median's standard error is 1.25 times the mean's, and an interquartile range is
    1.35 standard deviations, for errors that are normal in the middle.
    """
    return _MEDIAN_ERROR * spread / math.sqrt(visits)


def interval_ns(p50_ns: int, spread: float, visits: int) -> tuple[int, int]:
    """Return the 90 % interval of a median over visits, from the spread of their ratios.

    One or two visits do not show their spread, so it counts as at least 10 %.
    """
    if visits < _FEW_VISITS:
        spread = max(spread, _UNKNOWN_SPREAD)
    half = Z90 * median_error(spread, visits)
    return max(1, math.floor(p50_ns / (1 + half))), math.ceil(p50_ns * (1 + half))
