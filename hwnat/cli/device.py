"""`hwnat device`: list devices, describe a new one, and check that one can be measured."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hwnat.cli.device_new import new
from hwnat.cli.device_setup import setup
from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, print_facts, print_json, print_table, text

if TYPE_CHECKING:
    from hwnat.records.device import DeviceSpec


@click.group()
def device() -> None:
    """List devices, add one, and check that it can be measured."""


device.add_command(new)
device.add_command(setup)


@device.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the available device files."""
    from hwnat.errors import HwnatError
    from hwnat.records.device import device_names, read_device

    devices: list[DeviceSpec] = []
    unreadable: dict[str, str] = {}
    for name in device_names():
        try:
            devices.append(read_device(name).spec)
        except HwnatError as problem:
            unreadable[name] = str(problem)
    if as_json:
        problems = [{"name": name, "unreadable": reason} for name, reason in unreadable.items()]
        print_json([*devices, *problems])
    else:
        _print_list(devices)
    for name, reason in unreadable.items():
        echo(f"{name}: unreadable: {reason}", err=True)


def _print_list(devices: "list[DeviceSpec]") -> None:
    rows = [
        (
            *(spec.name, spec.transport, spec.target, spec.threads),
            *(", ".join(map(str, spec.affinity)) if spec.affinity != "auto" else "auto",),
            *(spec.precision, "yes" if spec.verified else "no", spec.about or ""),
        )
        for spec in devices
    ]
    columns = (
        *(text("device"), text("transport"), text("target"), "threads"),
        *(text("affinity", rank=2), text("precision"), text("verified", rank=1)),
        text("about", rank=3),
    )
    print_table("", columns, rows)


@device.command()
@click.argument("name", metavar="FILE")
@json_option
def trust(name: str, as_json: bool) -> None:
    """Allow a device file to name programs and folders.

    hwnat records the hash of the file in your configuration, so you have to trust an edited file
    again. Device files that came with hwnat need no trust.
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
        echo(f"{file.path} names no program or folder; it needs no trust.")
        return
    for power in file.powers:
        echo(f"{file.path} {power}.")
    echo(f"Trusted; recorded in {trusted_path()}." if needed else "It is trusted already.")


@device.command()
@click.argument("name")
@json_option
def probe(name: str, as_json: bool) -> None:
    """Print a device's cores, clocks, temperatures, battery and system.

    NAME is the name or the path of a device file.
    """
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
    """Check a device and print what would make its measurements unreliable.

    Also restores settings that an interrupted command left changed. NAME is the name or the path
    of a device file.
    """
    from dataclasses import asdict

    from hwnat.profile.timer import is_here
    from hwnat.records.device import load_device, read_device

    spec, trust = load_device(name), read_device(name).trust_words
    if spec.npu is not None:  # nothing runs, so this machine's state does not matter
        report: Mapping[str, Any] = {"runtime": _runtime(spec), **asdict(spec.npu), "advice": ()}
    else:
        report = _local_report(spec) if is_here(spec) else _remote_report(spec)
    _print({"device": spec.name, "trust": trust, **report}, as_json=as_json)


def _runtime(spec: "DeviceSpec") -> str:
    from hwnat.targets.base import get_target

    return " ".join(get_target(spec.target, precision=spec.precision).runtime())


def _local_report(spec: "DeviceSpec") -> Mapping[str, Any]:
    """Return the facts about this machine."""
    from dataclasses import asdict

    from hwnat.device.conditions import advice, choose_cores, may_run_realtime
    from hwnat.device.probe import probe_machine
    from hwnat.transport.base import connect

    runtime, machine = _runtime(spec), probe_machine(connect(spec))
    host, state = machine.host, machine.conditions
    realtime = spec.priority == "auto" and may_run_realtime()
    cores = choose_cores(spec.affinity, threads=spec.threads)
    hints = advice(
        host, state, threads=spec.threads, realtime=realtime, cores=cores, root=machine.root
    )
    return {
        "device": spec.name,
        "runtime": runtime,
        **asdict(host),
        "pinned_to": cores,
        "realtime": realtime,
        **asdict(state),
        "advice": hints,
    }


def _remote_report(spec: "DeviceSpec") -> Mapping[str, Any]:
    """Return the facts about a remote device; restore settings that a dead command changed.

    Raises:
        DeviceError: the device cannot be reached.
    """
    from contextlib import closing
    from dataclasses import asdict

    from hwnat.device.cores import choose_cluster_cores
    from hwnat.device.doctor import doubts
    from hwnat.device.probe import probe_machine
    from hwnat.device.runners.setup import Place, look_own, tools_folder
    from hwnat.errors import UsageError
    from hwnat.remote.hold import recover
    from hwnat.transport.base import connect

    with closing(connect(spec)) as link:
        reached = link.probe()
        messages: list[str] = []
        # A message without a recovery means that another command is using the device.
        free = recover(link, spec, folder=reached.workdir, tell=messages.append) or not messages
        machine = probe_machine(link)
        runner = None
        if reached.executable and free:
            folder = tools_folder(reached.workdir)
            runner = look_own(Place(spec=spec, link=link, machine=machine, folder=folder))
    try:
        cores = choose_cluster_cores(machine.clusters, spec.affinity, threads=spec.threads)
    except UsageError:
        cores = ()  # the advice names the problem
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
        "advice": (*messages, *missing, *doubts(spec, machine, reached)),
    }


def _print(report: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts on stdout and advice on stderr."""
    if as_json:
        print_json(report)
        return
    print_facts((key, value) for key, value in report.items() if key != "advice")
    for line in report["advice"]:
        echo(f"- {line}", err=True)
