"""What a device told about itself, for people."""

from collections.abc import Iterator

import click

from hwnat.cli.output import print_table
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.transport.words import printable

_UNTOLD = "not told"


def print_machine(spec: DeviceSpec, machine: Machine) -> None:
    """Print a device's system and state, then a table of its clusters and one of its zones."""
    for name, value in _facts(spec, machine):
        click.echo(f"{name:<16}{_UNTOLD if value is None else printable(str(value))}")
    if machine.clusters:
        click.echo()
        now = _by_core(machine, machine.conditions.clocks_hz)
        limits = _by_core(machine, machine.conditions.limits_hz)
        rows = [
            (
                ",".join(map(str, each.cores)),
                printable(each.part or "-"),
                _mhz(each.max_hz),
                _mhz(limits.get(each.cores[0])),
                _mhz(now.get(each.cores[0])),
                each.capacity or "-",
            )
            for each in machine.clusters
        ]
        print_table("", ("cores", "design", "max MHz", "limit", "now", "capacity"), rows)
    if machine.zones_c:
        click.echo()
        zones = [(printable(name), f"{celsius:.1f}") for name, celsius in machine.zones_c]
        print_table("", ("thermal zone", "°C"), zones)


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
    yield "root", "yes" if machine.root else "no"
    memory = machine.memory_bytes
    yield "memory", None if memory is None else f"{memory / 2**30:.1f} GiB"
    yield "governor", state.governor
    yield "load", state.load_1m
    yield "hottest zone", _celsius(state.temperature_c)
    if machine.android_api is not None:
        yield "thermal status", state.thermal_status
        yield "skin", _celsius(state.skin_c)
        charge, heat = state.battery_percent, _celsius(state.battery_c)
        yield "battery", None if charge is None else f"{charge} %, {heat or _UNTOLD}"
        yield "battery saver", _words(state.low_power, "on", "off")
        yield "screen", _words(state.awake, "on", "off")


def _by_core(machine: Machine, clocks_hz: tuple[int, ...]) -> dict[int, int]:
    """Return the clock of each core; nothing unless every one told its own."""
    cores = sorted(core for each in machine.clusters for core in each.cores)
    return dict(zip(cores, clocks_hz, strict=True)) if len(cores) == len(clocks_hz) else {}


def _mhz(hz: int | None) -> str:
    return "-" if hz is None else f"{hz / 1e6:.0f}"


def _celsius(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} °C"


def _words(value: bool | None, yes: str, no: str) -> str | None:
    return None if value is None else yes if value else no
