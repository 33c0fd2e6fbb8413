"""`hwnat device`: which devices there are, and whether one can be measured."""

import click

from hwnat.cli.output import json_option, print_json, print_table


@click.group()
def device() -> None:
    """List devices and check that they can be measured."""


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

    from hwnat.profile.conditions import advice, choose_cores, read_conditions, read_host
    from hwnat.records.device import load_device
    from hwnat.targets.base import get_target
    from hwnat.transport.base import connect
    from hwnat.transport.words import printable

    spec = load_device(name)
    runtime, version = get_target(spec.target).runtime()
    with closing(connect(spec)) as link:
        host, state = read_host(link), read_conditions(link)
    report = {
        "device": spec.name,
        "runtime": f"{runtime} {version}",
        **asdict(host),
        "pinned_to": choose_cores(spec.affinity, threads=spec.threads),
        **asdict(state),
        "advice": advice(host, state, threads=spec.threads),
    }
    if as_json:
        print_json(report)
        return
    for key, value in report.items():
        if key != "advice":
            click.echo(f"{key:<15}{'not told' if value in (None, ()) else printable(str(value))}")
    for line in report["advice"]:
        click.echo(f"- {line}", err=True)
