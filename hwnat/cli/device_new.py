"""`hwnat device new`: write the file of a device that is attached."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, options_of, print_json

if TYPE_CHECKING:
    from hwnat.device.new import NewDevice
    from hwnat.records.device import DeviceSpec

#: Device files belong to the working directory.
_FOLDER: Final = Path("devices")
#: For this machine, in the order of preference.
_LOCAL_TARGETS: Final = ("onnx", "tflite", "openvino")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """The options of `hwnat device new`."""

    name: str
    serial: str | None
    host: str | None
    user: str | None
    port: int | None
    local: bool
    target: str | None
    workdir: str | None
    as_json: bool


@click.command("new")
@click.argument("name")
@click.option("--serial", help="Serial number of a phone. Default: the only one attached.")
@click.option("--ssh", "host", metavar="HOST", help="Address of a board or its ssh name.")
@click.option("--user", help="User to log in as. Needs --ssh.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of its ssh server. Needs --ssh.")
@click.option("--local", is_flag=True, help="Describe this machine.")
@click.option("--target", help="Target to measure with. Default: the first whose runner works.")
@click.option("--workdir", help="Folder on the device that hwnat may fill.")
@json_option
@options_of(NewRequest)
def new(request: NewRequest) -> None:
    """Write devices/NAME.toml for an attached device.

    Reads what the device is, chooses a runner that works there, and writes a commented device
    file. An existing file is never overwritten.
    """
    from contextlib import closing

    from hwnat.device.new import describe, describe_local, write_new
    from hwnat.errors import UsageError
    from hwnat.records.device import read_device
    from hwnat.transport.base import connect

    path = _FOLDER / f"{request.name}.toml"
    if path.exists():
        msg = f"{path} exists and is not overwritten. Choose another name, or edit the file."
        raise UsageError(msg)
    spec = _address(request)
    with closing(connect(spec)) as link:
        if request.local:
            device = describe_local(spec, link)
        else:
            device = describe(spec, link, target=request.target)
    path = write_new(device, _FOLDER)
    written = read_device(path)
    if not written.is_allowed():
        written.trust()  # the folder that it names was typed here
    if request.as_json:
        print_json({"path": path, "device": device.spec, "runner": device.runner})
        return
    echo(path)
    _print_next(device)


def _address(request: NewRequest) -> "DeviceSpec":
    """Return how the device is reached; target and runner are chosen later.

    Raises:
        UsageError: the options name no device, or several.
    """
    from hwnat.errors import DataError, UsageError
    from hwnat.records.device import DeviceSpec

    ways = [
        option
        for option, value in (
            ("--serial", request.serial), ("--ssh", request.host), ("--local", request.local),
        )
        if value
    ]  # fmt: skip
    if len(ways) > 1:
        msg = f"{' and '.join(ways)} name different devices. Keep one of them."
        raise UsageError(msg)
    if request.host is None and (request.user or request.port):
        msg = "--user and --port are for a board. Name the board with --ssh HOST."
        raise UsageError(msg)
    try:
        if request.local:
            return DeviceSpec(
                name=request.name, transport="local", target=_local_target(request.target)
            )
        if request.host:
            return DeviceSpec(
                name=request.name, transport="ssh", target="tflite", host=request.host,
                user=request.user, port=request.port, workdir=request.workdir,
            )  # fmt: skip
        return DeviceSpec(
            name=request.name, transport="adb", target="tflite", serial=request.serial or "auto",
            workdir=request.workdir,
        )  # fmt: skip
    except DataError as problem:
        msg = f"Cannot describe device {request.name}: {problem}"
        raise UsageError(msg) from problem


def _local_target(asked: str | None) -> str:
    """Return the target that was asked for, or the first one whose runtime is installed.

    Raises:
        UsageError: there is no such target, or no runtime is installed.
    """
    from hwnat.errors import UsageError
    from hwnat.targets.base import get_target

    if asked is not None:
        get_target(asked)
        return asked
    for name in _LOCAL_TARGETS:
        try:
            get_target(name).runtime()
        except UsageError:
            continue
        return name
    msg = "No runtime is installed. Install one with: pip install 'hwnat[onnx]'"
    raise UsageError(msg)


def _print_next(device: "NewDevice") -> None:
    """Print on stderr what is missing and what to type next."""
    name, runner = device.spec.name, device.runner
    if runner is not None and runner.problem is not None:
        echo(f"- {runner.problem}", err=True)
    echo(f"Check it with: hwnat device doctor {name}", err=True)
    echo(f"Measure it with: hwnat profile --device {name} --space mbv3-nano", err=True)
