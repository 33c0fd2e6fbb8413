"""The state of a device, as `scripts/state.sh` prints it.

A line holds a key and a value, twice each, separated by tabs; the last line counts the others. Text
that was cut or damaged is therefore recognised, and ignored as a whole.
"""

import re
from collections.abc import Mapping
from typing import Final

from hwnat.records.measurement import Conditions

_LINE: Final = re.compile(r"([a-z][a-z_]{0,30}(?:\.\d{1,4})?)\t([^\t]+)\t\1\t\2", re.ASCII)
_INTEGER: Final = re.compile(r"-?\d{1,12}", re.ASCII)
#: Microseconds of CPU time and of wall time: the quota of a control group.
_QUOTA: Final = re.compile(r"(\d{1,15}) (\d{1,15})", re.ASCII)
_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)
_READING: Final = re.compile(r"\{mValue=(-?\d{1,4}(?:\.\d{1,9})?), mType=(\d{1,2}), .*\}", re.ASCII)
#: Zones that do not report the chip's temperature but charge, voltage, current or power supply.
_NO_HEAT: Final = re.compile(
    r"^socd?$|vbat|ibat|vph|bcl|lvl|volt|current|batt_soc|pmic[-_]?die", re.IGNORECASE
)
#: Types of Android's sensors for CPU, GPU and NPU, and for the surface.
_CHIP: Final = ("0", "1", "9")
_SKIN: Final = "3"


def parse_facts(text: str) -> dict[str, str] | None:
    """Return the first value of each key that a script printed; None if the text is cut."""
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    matches = [_LINE.fullmatch(line) for line in lines]
    pairs = [(match[1], match[2]) for match in matches if match is not None]
    if len(pairs) != len(lines) or pairs[-1] != ("end", str(len(pairs) - 1)):
        return None
    facts: dict[str, str] = {}
    for key, value in pairs[:-1]:
        facts.setdefault(key, value)
    return facts


def integer(text: str | None, *, low: int, high: int) -> int | None:
    """Return the integer in `text` if it lies from `low` to `high`; None otherwise."""
    if text is None or not _INTEGER.fullmatch(text):
        return None
    return int(text) if low <= int(text) <= high else None


def numbered(facts: Mapping[str, str], name: str) -> dict[int, str]:
    """Return N -> value for the keys `name.N`, in the order of N."""
    keys = {key: key.rpartition(".") for key in facts}
    values = {int(last): facts[key] for key, (head, _, last) in keys.items() if head == name}
    return dict(sorted(values.items()))


def parse_state(text: str, *, at: str) -> Conditions:
    """Parse the output of `state`; a damaged text gives conditions with nothing but `at`.

    Args:
        text: the complete output.
        at: time of the reading in UTC, ISO 8601.
    """
    facts = parse_facts(text)
    return Conditions(at=at) if facts is None else conditions(facts, at=at)


def conditions(facts: Mapping[str, str], *, at: str) -> Conditions:
    """Return the conditions that the facts of `state` describe."""
    readings = _readings(facts)
    heat = [celsius for _, celsius in zones(facts)]
    heat += [celsius for kind, celsius in readings if kind in _CHIP]
    load = facts.get("load", "")
    battery = integer(facts.get("battery_heat"), low=-500, high=1500)
    return Conditions(
        at=at,
        governor=",".join(dict.fromkeys(numbered(facts, "governor").values())) or None,
        clocks_hz=_clocks_hz(facts, "clock"),
        temperature_c=max(heat, default=None),
        load_1m=float(load) if re.fullmatch(r"\d{1,6}\.\d{1,4}", load, re.ASCII) else None,
        limits_hz=_clocks_hz(facts, "limit"),
        thermal_status=integer(facts.get("status"), low=0, high=6),
        skin_c=max((celsius for kind, celsius in readings if kind == _SKIN), default=None),
        battery_percent=integer(facts.get("battery"), low=0, high=100),
        battery_c=None if battery is None else battery / 10,
        low_power={"0": False, "1": True}.get(facts.get("low_power", "")),
        awake=_AWAKE.get(facts.get("wakefulness", "")),
        cpu_quota=_quota(facts),
        stopped_ns=_stopped_ns(facts),
    )


#: A screen that shows a clock while the phone dozes uses almost no power, so it counts as off.
_AWAKE: Final = {"Awake": True, "Dreaming": True, "Asleep": False, "Dozing": False}


def zones(facts: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    """Return name and °C of each thermal zone that reports a temperature."""
    names = numbered(facts, "zone")
    readings = []
    for zone, text in numbered(facts, "heat").items():
        name = names.get(zone, f"zone {zone}")
        celsius = _celsius(integer(text, low=1, high=200_000))
        if celsius is not None and not _NO_HEAT.search(name):
            readings.append((name, celsius))
    return tuple(readings)


def _celsius(value: int | None) -> float | None:
    """Return °C; most zones report thousandths of a degree, some report degrees."""
    if value is None or 150 < value < 1000 or value > 150_000:
        return None
    return float(value) if value <= 150 else value / 1000


def _readings(facts: Mapping[str, str]) -> list[tuple[str, float]]:
    """Return type and °C of every Android sensor that has a reading."""
    matches = map(_READING.fullmatch, numbered(facts, "reading").values())
    return [(m[2], float(m[1])) for m in matches if m and 0 < float(m[1]) < 150]


def _quota(facts: Mapping[str, str]) -> float | None:
    """Return the lowest quota of all control groups, in cores; None if none has one."""
    pairs = filter(None, map(_QUOTA.fullmatch, numbered(facts, "quota").values()))
    return min((int(m[1]) / int(m[2]) for m in pairs if int(m[2])), default=None)


def _stopped_ns(facts: Mapping[str, str]) -> int | None:
    """Return how long quotas have stopped the control groups so far; None if none has one."""
    units = {"stopped_us": 1000, "stopped_ns": 1}
    counts = [
        unit * int(text)
        for name, unit in units.items()
        for text in numbered(facts, name).values()
        if _DIGITS.fullmatch(text)
    ]
    return sum(counts) if counts else None


def _clocks_hz(facts: Mapping[str, str], name: str) -> tuple[int, ...]:
    clocks = (integer(khz, low=1, high=100_000_000) for khz in numbered(facts, name).values())
    return tuple(khz * 1000 for khz in clocks if khz is not None)
