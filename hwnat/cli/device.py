"""`hwnat device`: which devices there are, and whether one can be measured."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hwnat.cli.device_setup import setup
from hwnat.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from hwnat.records.device import DeviceSpec


@click.group()
def device() -> None:
    """List devices and check that they can be measured."""


device.add_command(setup)


@device.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the device files at hand."""
    from hwnat.records.device import device_names, read_device

    devices = [read_device(name).spec for name in device_names()]
    if as_json:
        print_json(devices)
        return
    rows = [
        (
            *(d.name, d.transport, d.target, d.threads, d.affinity, d.precision),
            "yes" if d.verified else "no",
            d.about or "",
        )
        for d in devices
    ]
    columns = ("device", "transport", "target", "threads", "affinity", "precision", "verified")
    print_table("", (*columns, "about"), rows)


@device.command()
@click.argument("name", metavar="FILE")
@json_option
def trust(name: str, as_json: bool) -> None:
    """Let a device file name programs and folders of this machine or of the device.

    hwnat records the hash of the file's content in your configuration, so an edited file has to
    be trusted again. Device files that came with hwnat need no trust.
    """
    from hwnat.records.device import read_device
    from hwnat.records.trust import trusted_path

    file = read_device(name)
    needed = not file.is_allowed()
    if needed:
        file.trust()
    if as_json:
        print_json({"file": file.path, "powers": file.powers, "trusted_now": needed})
        return
    if not file.powers:
        click.echo(f"{file.path} names no program or folder; it needs no trust.")
        return
    for power in file.powers:
        click.echo(f"{file.path} {power}.")
    click.echo(f"Trusted; recorded in {trusted_path()}." if needed else "It is trusted already.")


@device.command()
@click.argument("name")
@json_option
def probe(name: str, as_json: bool) -> None:
    """Ask a device what it is: cores and clusters, clocks, temperatures, battery, system."""
    from contextlib import closing

    from hwnat.cli.device_facts import print_machine
    from hwnat.device.probe import probe_machine
    from hwnat.records.device import load_device
    from hwnat.transport.base import connect

    spec = load_device(name)
    with closing(connect(spec)) as link:
        machine = probe_machine(link)
    if as_json:
        print_json(machine)
        return
    print_machine(spec, machine)


@device.command()
@click.argument("name")
@json_option
def doctor(name: str, as_json: bool) -> None:
    """Reach a device and say what makes its numbers doubtful; put back what was left changed."""
    from dataclasses import asdict

    from hwnat.profile.timer import is_here
    from hwnat.records.device import load_device, read_device

    spec, trust = load_device(name), read_device(name).trust_words
    if spec.npu is not None:  # nothing runs, so the state of this machine does not matter
        report: Mapping[str, Any] = {"runtime": _runtime(spec), **asdict(spec.npu), "advice": ()}
    else:
        report = _here(spec) if is_here(spec) else _elsewhere(spec)
    _print({"device": spec.name, "trust": trust, **report}, as_json=as_json)


def _runtime(spec: "DeviceSpec") -> str:
    from hwnat.targets.base import get_target

    return " ".join(get_target(spec.target, precision=spec.precision).runtime())


def _here(spec: "DeviceSpec") -> Mapping[str, Any]:
    """Return what is to be known of this machine."""
    from dataclasses import asdict

    from hwnat.device.conditions import advice, choose_cores, may_run_realtime
    from hwnat.device.probe import probe_machine
    from hwnat.transport.base import connect

    runtime, machine = _runtime(spec), probe_machine(connect(spec))
    host, state = machine.host, machine.conditions
    realtime = spec.priority == "auto" and may_run_realtime()
    return {
        "device": spec.name,
        "runtime": runtime,
        **asdict(host),
        "pinned_to": choose_cores(spec.affinity, threads=spec.threads),
        "realtime": realtime,
        **asdict(state),
        "advice": advice(host, state, threads=spec.threads, realtime=realtime),
    }


def _elsewhere(spec: "DeviceSpec") -> Mapping[str, Any]:
    """Return what is to be known of a device; what a dead command left changed is put back.

    Raises:
        DeviceError: it cannot be reached.
    """
    from contextlib import closing
    from dataclasses import asdict

    from hwnat.device.cores import choose_cluster_cores
    from hwnat.device.doctor import doubts
    from hwnat.device.probe import probe_machine
    from hwnat.device.runners.setup import Place, look_own, tools_folder
    from hwnat.errors import UsageError
    from hwnat.remote.lease import recover
    from hwnat.transport.base import connect

    with closing(connect(spec)) as link:
        reached = link.probe()
        said: list[str] = []
        # Something said, and nothing put back: another command is at work there.
        free = recover(link, spec, folder=reached.workdir, tell=said.append) or not said
        machine = probe_machine(link)
        runner = None
        if reached.executable and free:
            folder = tools_folder(reached.workdir)
            runner = look_own(Place(spec=spec, link=link, machine=machine, folder=folder))
    try:
        cores = choose_cluster_cores(machine.clusters, spec.affinity, threads=spec.threads)
    except UsageError:
        cores = ()  # the advice says it
    missing = (runner.problem,) if runner and runner.problem else ()
    return {
        "device": spec.name,
        "runtime": runner.runtime if runner else None,
        "runner": runner.runner if runner else None,
        **asdict(reached),
        **asdict(machine.host),
        "pinned_to": cores,
        "realtime": None,
        **asdict(machine.conditions),
        "advice": (*said, *missing, *doubts(spec, machine, reached)),
    }


def _print(report: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what is known of a device; what it does not tell is said to be so."""
    from hwnat.transport.words import printable

    if as_json:
        print_json(report)
        return
    for key, value in report.items():
        if key != "advice":
            click.echo(f"{key:<16}{'not told' if value in (None, ()) else printable(str(value))}")
    for line in report["advice"]:
        click.echo(f"- {line}", err=True)
