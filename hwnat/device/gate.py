"""The state that a device must be in before a block of measurements, and a wait for it."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import Final

from hwnat.errors import DeviceError
from hwnat.records.device import Gate
from hwnat.records.measurement import Conditions

_STEP_S: Final = 10.0
_LOAD: Final = 2.0
_LOAD_OF_ANDROID: Final = 20.0
_STATUS: Final = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def refusals(state: Conditions, gate: Gate, *, cores: int) -> tuple[str, ...]:
    """Return why a device is not ready to measure, each with a remedy; empty if it is ready.

    Checks are skipped for values that the device does not report.

    Args:
        state: of the device.
        gate: of the device file.
        cores: how many hwnat keeps busy; their load does not count.
    """
    reasons: list[str | None] = [_status(state, gate), *_heat(state, gate)]
    charge = state.battery_percent
    if charge is not None and charge < gate.battery_percent:
        reasons.append(
            f"the battery holds {charge} %, the gate requires at least {gate.battery_percent}: "
            "charge it; phones save power below that"
        )
    if state.low_power:
        reasons.append("it saves power: turn off battery saver")
    reasons.append(_load(state, gate, cores=cores))
    return tuple(reason for reason in reasons if reason is not None)


def _load(state: Conditions, gate: Gate, *, cores: int) -> str | None:
    # Only Android has a thermal status, and it counts drivers that sleep as load.
    usual = _LOAD if state.thermal_status is None else _LOAD_OF_ANDROID
    most = usual if gate.load is None else gate.load
    if state.load_1m is None or state.load_1m <= most + cores:
        return None
    return (
        f"load is {state.load_1m:g}, the gate allows at most {most:g} beside hwnat's own "
        f"{cores}: stop other programs"
    )


def _status(state: Conditions, gate: Gate) -> str | None:
    status = state.thermal_status
    if status is None or status <= gate.thermal_status:
        return None
    return (
        f"thermal status is {status} ({_STATUS[status]}), the gate allows at most "
        f"{gate.thermal_status}: it throttles, let it cool"
    )


def _heat(state: Conditions, gate: Gate) -> list[str | None]:
    places = (
        ("the hottest thermal zone", state.temperature_c, gate.temperature_c, "let it cool"),
        ("skin", state.skin_c, gate.skin_c, "let it cool, screen off"),
        ("the battery", state.battery_c, gate.battery_c, "let it cool, charge it slowly"),
    )
    return [
        None
        if value is None or value < limit
        else f"{place} is {value:.1f} °C, the gate requires under {limit:g}: {what}"
        for place, value, limit, what in places
    ]


def wait_until_ready(
    look: Callable[[], Conditions],
    gate: Gate,
    *,
    cores: int,
    tell: Callable[[str], None],
    pause: Callable[[float], None] = sleep,
    clock: Callable[[], float] = monotonic,
) -> None:
    """Wait in steps of 10 s until a device is ready to measure.

    Args:
        look: reads the device's state.
        gate: of the device file; it limits the wait.
        cores: as in `refusals`.
        tell: is given a line when there is something to wait for, and when that changes.
        pause: sleeps for seconds.
        clock: returns seconds.

    Raises:
        DeviceError: it is not ready after `gate.wait_s`; the message has all reasons.
    """
    ends = clock() + gate.wait_s
    told: list[str] = []
    while reasons := refusals(look(), gate, cores=cores):
        left = ends - clock()
        if left <= 0:
            msg = (
                f"The device was not ready to measure within {gate.wait_s:g} s: "
                f"{'; '.join(reasons)}. Then run the same command again, or relax [gate] in the "
                "device file; see docs/devices.md."
            )
            raise DeviceError(msg)
        # The values change with each look, the remedies do not.
        if (remedies := [reason.rpartition(": ")[2] for reason in reasons]) != told:
            tell(f"Waiting up to {left:.0f} s: {'; '.join(reasons)}.")
            told = remedies
        pause(min(_STEP_S, left))
