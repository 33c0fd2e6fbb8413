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

from hwnat.cli.output import print_json
from hwnat.errors import DeviceError, UsageError

#: An interrupted child may take so long to put its device's settings back.
_CLEANING_S: Final = 30.0


def profile_many(devices: Sequence[str], argv: Sequence[str], *, as_json: bool) -> None:
    """Profile devices in parallel and print what each printed, in the order named.

    A process each, so that one that hangs or dies takes no other with it; each holds its device's
    lock. Their words on stderr carry the device's name.

    Args:
        devices: names or paths of device files.
        argv: the other words of the command.
        as_json: each prints JSON; together they become a list.

    Raises:
        UsageError: a device is named twice, or all are to write one file.
        DeviceError: a device failed; it has said why.
    """
    if len(set(devices)) < len(devices):
        msg = f"A device is named twice: {', '.join(devices)}; name each once."
        raise UsageError(msg)
    if "--out" in argv:
        msg = "--out is one file, and each device has a table of its own; leave it out."
        raise UsageError(msg)
    children: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            found = list(pool.map(lambda each: _run(each, argv, children), devices))
        except BaseException:
            _end(children)
            raise
    if as_json:
        print_json([json.loads(printed) for _, printed in found if printed.strip()])
    else:
        click.echo("".join(printed for _, printed in found), nl=False)
    failed = [each for each, (status, _) in zip(devices, found, strict=True) if status]
    if failed:
        msg = f"{len(failed)} of {len(devices)} devices failed: {', '.join(failed)}; the reason is "
        raise DeviceError(msg + "above. What was measured is kept: run the same command again.")


def _end(children: Sequence["subprocess.Popen[str]"]) -> None:
    """Interrupt children, and give them time to put back what they changed on their devices."""
    # A terminal tells only this process, for a second interrupt would end their cleaning up.
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
            click.echo(f"{device}: {line.rstrip()}", err=True)
        status = child.wait()
        printed.seek(0)
        return status, printed.read()


def words(context: click.Context, *, without: str) -> list[str]:
    """Return the options that were typed, but for the parameter `without`."""
    found = []
    for parameter in context.command.params:
        name = str(parameter.name)
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name == without or not typed:
            continue
        value, option = context.params[name], parameter.opts[0]
        if value is True:
            found.append(option)
            continue
        for each in value if parameter.multiple else (value,):
            found += [option, str(each)]
    return found
