"""`hwnat profile` of several devices: one process each, at the same time."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

import click
from click.core import ParameterSource

from hwnat.cli.echo import echo
from hwnat.cli.output import print_json
from hwnat.errors import DeviceError, UsageError

#: An interrupted child gets this long to restore its device's settings.
_CLEANING_S: Final = 30.0


def profile_many(devices: Sequence[str], argv: Sequence[str], *, as_json: bool) -> None:
    """Profile devices in parallel and print their results in the order of `devices`.

    Each device has a process of its own, so that one that hangs or dies affects no other, and
    each process holds its device's lock. Lines on stderr start with the device's name.

    Args:
        devices: names or paths of device files.
        argv: the other options of the command line.
        as_json: the processes print JSON, which becomes a list.

    Raises:
        UsageError: a device is named twice, or all would write one file.
        DeviceError: a device failed; the reason is printed already.
    """
    if len(set(devices)) < len(devices):
        msg = f"--device names a device twice: {', '.join(devices)}. Name each device once."
        raise UsageError(msg)
    if "--out" in argv:
        msg = "--out names one file, but each device has its own table. Leave --out out."
        raise UsageError(msg)
    children: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            results = list(pool.map(lambda device: _run(device, argv, children), devices))
        except BaseException:
            _end(children)
            raise
    if as_json:
        print_json([json.loads(printed) for _, printed in results if printed.strip()])
    else:
        echo("".join(printed for _, printed in results), nl=False)
    failed = [device for device, (status, _) in zip(devices, results, strict=True) if status]
    if failed:
        msg = (
            f"{len(failed)} of {len(devices)} devices failed: {', '.join(failed)}. The reasons are "
            "above. Measurements are kept; run the same command again to resume."
        )
        raise DeviceError(msg)


def _end(children: Sequence["subprocess.Popen[str]"]) -> None:
    """Interrupt children, and give them time to restore their devices' settings."""
    # They are in process groups of their own: a second interrupt from the terminal would end
    # their cleaning up.
    for child in children:
        child.send_signal(signal.SIGINT)
    ends = monotonic() + _CLEANING_S
    for child in children:
        try:
            child.wait(max(0.0, ends - monotonic()))
        except subprocess.TimeoutExpired:
            child.terminate()


def _run(
    device: str, argv: Sequence[str], children: list["subprocess.Popen[str]"]
) -> tuple[int, str]:
    """Profile one device; return its exit status and stdout."""
    command = [sys.executable, "-m", "hwnat.cli.main", "profile", "--device", device, *argv]
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as child,
    ):
        children.append(child)
        for line in child.stderr or ():
            echo(f"{device}: {line.rstrip()}", err=True)
        status = child.wait()
        printed.seek(0)
        return status, printed.read()


def words(context: click.Context, *, without: str) -> list[str]:
    """Return the options that were typed, except the parameter `without`."""
    argv = []
    for parameter in context.command.params:
        name = str(parameter.name)
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name == without or not typed:
            continue
        value, option = context.params[name], parameter.opts[0]
        if value is True:
            argv.append(option)
            continue
        for member in value if parameter.multiple else (value,):
            argv += [option, str(member)]
    return argv
