"""What a device has to be like before a block of measurements begins, and waiting for it."""

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
    """Return what stands against measuring now, each with what to do; empty if nothing does.

    What the device does not tell is not asked of it.

    Args:
        state: of the device.
        gate: of the device file.
        cores: how many hwnat keeps busy, whose load is its own.
    """
    found: list[str | None] = [_status(state, gate), *_heat(state, gate)]
    charge = state.battery_percent
    if charge is not None and charge < gate.battery_percent:
        found.append(
            f"the battery holds {charge} %, the gate wants at least {gate.battery_percent}: "
            "charge it; below that phones save power"
        )
    if state.low_power:
        found.append("it saves power: switch battery saver off")
    found.append(_load(state, gate, cores=cores))
    return tuple(each for each in found if each is not None)


def _load(state: Conditions, gate: Gate, *, cores: int) -> str | None:
    # Only Android has a thermal status, and it counts drivers that sleep as load.
    usual = _LOAD if state.thermal_status is None else _LOAD_OF_ANDROID
    most = usual if gate.load is None else gate.load
    if state.load_1m is None or state.load_1m <= most + cores:
        return None
    return (
        f"load is {state.load_1m:g}, the gate wants at most {most:g} beside hwnat's own "
        f"{cores}: stop other programs"
    )


def _status(state: Conditions, gate: Gate) -> str | None:
    status = state.thermal_status
    if status is None or status <= gate.thermal_status:
        return None
    return (
        f"thermal status is {status} ({_STATUS[status]}), the gate wants at most "
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
        else f"{place} is {value:.1f} °C, the gate wants below {limit:g}: {what}"
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
    """Wait in steps of 10 s until nothing stands against measuring.

    Args:
        look: reads the device's state.
        gate: of the device file; says how long to wait.
        cores: as in `refusals`.
        tell: is given a line of words when there is something to wait for, and when that changes.
        pause: sleeps for seconds.
        clock: tells seconds.

    Raises:
        DeviceError: it is not ready after `gate.wait_s`; the message has all that is missing.
    """
    ends = clock() + gate.wait_s
    told: list[str] = []
    while reasons := refusals(look(), gate, cores=cores):
        left = ends - clock()
        if left <= 0:
            msg = f"The device is not fit to measure after {gate.wait_s:g} s: "
            msg += f"{'; '.join(reasons)}. Then run the same command again, or have the device "
            raise DeviceError(msg + "file ask for less under [gate], see docs/devices.md.")
        # The values change with each look, what to do about them does not.
        if (remedies := [each.rpartition(": ")[2] for each in reasons]) != told:
            tell(f"Waiting up to {left:.0f} s: {'; '.join(reasons)}.")
            told = remedies
        pause(min(_STEP_S, left))
