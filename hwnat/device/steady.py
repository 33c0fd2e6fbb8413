"""Detects visits during which the state of a device changed; they are repeated."""

from collections.abc import Sequence
from typing import Final

from hwnat.errors import DataError
from hwnat.records.device import Gate
from hwnat.records.measurement import Conditions, Measurement, Setup, lower_quartile

#: Largest relative change of the reference model's time within a visit.
MAX_DRIFT: Final = 0.10
#: Up to this number of runs, the fastest one counts, because a disturbance only adds time.
_FEW: Final = 3


def drift(reference_ns: Sequence[int]) -> float:
    """Return the relative change of the reference model's time within a visit.

    Compares the lower quartiles of the first and the last third of the runs, so that single
    outliers do not count. A single run has no drift.

    Args:
        reference_ns: runs in the order in which they were made.

    Raises:
        DataError: there is none.

    >>> drift([100, 100, 900, 100, 100, 100, 120, 120, 120])
    0.2
    """
    if not reference_ns:
        msg = "No runs of the reference model; a failed run must raise."
        raise DataError(msg)
    size = max(1, len(reference_ns) // 3, min(_FEW, len(reference_ns) // 2))
    first, last = (_typical(series) for series in (reference_ns[:size], reference_ns[-size:]))
    return round(abs(last / first - 1), 6)


def _typical(series: Sequence[int]) -> float:
    return float(min(series)) if len(series) <= _FEW else lower_quartile(series)


def unsteady(
    measurement: Measurement, *, gate: Gate | None = None, setup: Setup | None = None
) -> str | None:
    """Return why a visit has to be repeated; None if it counts.

    Args:
        measurement: the visit. Checks are skipped for values that the device does not report.
        gate: the gate of the device file; None uses the default gate.
        setup: setup with the pinned cores; None checks all cores.
    """
    moved = drift(measurement.reference_ns)
    if moved > MAX_DRIFT:
        return f"the reference model's time changed by {moved:.0%} within the visit"
    if measurement.before is None or measurement.after is None:
        return None
    before, after = measurement.before, measurement.after
    return _lowered(before, after, setup) or _hotter(before, after, gate or Gate())


def _lowered(before: Conditions, after: Conditions, setup: Setup | None) -> str | None:
    if after.limits_hz and len(before.limits_hz) > len(after.limits_hz):
        gone = len(before.limits_hz) - len(after.limits_hz)
        return f"the system switched {gone} cores off within the visit"
    if len(before.limits_hz) != len(after.limits_hz):
        return None  # a core was switched on, so the order may differ
    pairs = list(zip(before.limits_hz, after.limits_hz, strict=True))
    # Limits come in the order of cores, without numbers, so they are matched only if all are there.
    if setup is not None and setup.affinity and setup.host.cores == len(pairs):
        pairs = [pairs[core] for core in setup.affinity if core < len(pairs)]
    lowered = [(old, new) for old, new in pairs if new < old]
    if lowered:
        old, new = lowered[-1]
        return f"the system lowered a clock's limit from {old / 1e6:g} to {new / 1e6:g} MHz"
    return None


def _hotter(before: Conditions, after: Conditions, gate: Gate) -> str | None:
    hot = after.thermal_status
    if hot is None:
        return None
    if before.thermal_status is not None and hot > before.thermal_status:
        return f"the thermal status rose from {before.thermal_status} to {hot}"
    if hot > gate.thermal_status:
        return f"the thermal status is {hot}, the gate allows at most {gate.thermal_status}"
    return None
