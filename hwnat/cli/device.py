"""`hwnat device`: which devices there are, and whether one can be measured."""

from collections.abc import Mapping
from typing import Any

import click

from hwnat.cli.device_setup import setup
from hwnat.cli.output import json_option, print_json, print_table


@click.group()
def device() -> None:
    """List devices and check that they can be measured."""


device.add_command(setup)


@device.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the device files at hand."""
    from hwnat.records.device import device_names, load_device

    devices = [load_device(name) for name in device_names()]
    if as_json:
        print_json(devices)
        return
    rows = [(d.name, d.transport, d.target, d.threads, d.affinity, d.precision) for d in devices]
    columns = ("device", "transport", "target", "threads", "affinity", "precision")
    print_table("", columns, rows)


@device.command()
@click.argument("name")
@json_option
def doctor(name: str, as_json: bool) -> None:
    """Reach a device, name its runtime and read its clocks, temperature and load."""
    from contextlib import closing
    from dataclasses import asdict

    from hwnat.profile.conditions import (
        advice,
        choose_cores,
        may_run_realtime,
    )
    from hwnat.profile.probe import probe_machine
    from hwnat.records.device import load_device
    from hwnat.targets.base import get_target
    from hwnat.transport.base import connect

    spec = load_device(name)
    here = spec.transport == "local"
    target = get_target(spec.target, precision=spec.precision)
    runtime, version = target.runtime() if here else (None, None)
    if spec.npu is not None:  # nothing runs, so the state of this machine does not matter
        told = {"device": spec.name, "runtime": f"{runtime} {version}", **asdict(spec.npu)}
        _print({**told, "advice": ()}, as_json=as_json)
        return
    with closing(connect(spec)) as link:
        reached = None if here else link.probe()
        machine = probe_machine(link)
    host, state = machine.host, machine.conditions
    realtime = here and spec.priority == "auto" and may_run_realtime()
    hints = advice(host, state, threads=spec.threads, realtime=realtime or not here)
    if reached and not reached.executable:
        hints = (*hints, f"No program starts in {reached.workdir}: set another workdir.")
    report = {
        "device": spec.name,
        # What a device elsewhere would be timed with is not known before something runs there.
        "runtime": f"{runtime} {version}" if here else None,
        **(asdict(reached) if reached else {}),
        **asdict(host),
        "pinned_to": choose_cores(spec.affinity, threads=spec.threads) if here else None,
        "realtime": realtime if here else None,
        **asdict(state),
        "advice": hints,
    }
    _print(report, as_json=as_json)


def _print(report: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what is known of a device; what it does not tell is said to be so."""
    from hwnat.transport.words import printable

    if as_json:
        print_json(report)
        return
    for key, value in report.items():
        if key != "advice":
            click.echo(f"{key:<15}{'not told' if value in (None, ()) else printable(str(value))}")
    for line in report["advice"]:
        click.echo(f"- {line}", err=True)
