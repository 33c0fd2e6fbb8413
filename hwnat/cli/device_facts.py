"""How `hwnat device probe` prints a device."""

from collections.abc import Iterator

from hwnat.cli.echo import echo
from hwnat.cli.output import print_facts, print_table, text
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine


def print_machine(spec: DeviceSpec, machine: Machine) -> None:
    """Print a device's system and state, then a table of its clusters and one of its zones."""
    print_facts(_facts(spec, machine))
    if machine.clusters:
        echo()
        now = _by_core(machine, machine.conditions.clocks_hz)
        limits = _by_core(machine, machine.conditions.limits_hz)
        rows = [
            (
                ",".join(map(str, cluster.cores)),
                cluster.part or "-",
                _mhz(cluster.max_hz),
                _mhz(limits.get(cluster.cores[0])),
                _mhz(now.get(cluster.cores[0])),
                cluster.capacity or "-",
            )
            for cluster in machine.clusters
        ]
        columns = (text("cores"), text("design"), "max MHz", "limit", "now", "capacity")
        print_table("", columns, rows)
    if machine.zones_c:
        echo()
        zones = [(name, f"{celsius:.1f}") for name, celsius in machine.zones_c]
        print_table("", (text("thermal zone"), "°C"), zones)


def _facts(spec: DeviceSpec, machine: Machine) -> Iterator[tuple[str, object]]:
    host, state = machine.host, machine.conditions
    yield "device", spec.name
    yield "board", host.board
    yield "SoC", host.soc
    yield "CPU", host.cpu
    yield "system", host.os
    yield "build", host.build
    yield "instructions", machine.abi
    if machine.android_api is not None:
        yield "Android API", machine.android_api
    yield "root", machine.root
    memory = machine.memory_bytes
    yield "memory", None if memory is None else f"{memory / 2**30:.1f} GiB"
    yield "governor", state.governor
    yield "load", state.load_1m
    yield "hottest zone", _celsius(state.temperature_c)
    if machine.android_api is not None:
        yield "thermal status", state.thermal_status
        yield "skin", _celsius(state.skin_c)
        charge, heat = state.battery_percent, _celsius(state.battery_c)
        yield "battery", None if charge is None else f"{charge} %, {heat or 'unknown'}"
        yield "battery saver", _switch(state.low_power)
        yield "screen", _switch(state.awake)


def _by_core(machine: Machine, clocks_hz: tuple[int, ...]) -> dict[int, int]:
    """Return the clock of each core; nothing unless every core reports one."""
    cores = sorted(core for cluster in machine.clusters for core in cluster.cores)
    return dict(zip(cores, clocks_hz, strict=True)) if len(cores) == len(clocks_hz) else {}


def _mhz(hz: int | None) -> str:
    return "-" if hz is None else f"{hz / 1e6:.0f}"


def _celsius(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} °C"


def _switch(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"
