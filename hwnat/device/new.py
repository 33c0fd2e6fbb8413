"""A device file for a device that is attached: what it is, and which runner works there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Final

from hwnat.device.probe import probe_machine
from hwnat.device.runners.setup import Installed, Place, look_own, tools_folder
from hwnat.errors import DataError, DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec, TimingProtocol
from hwnat.records.machine import Machine
from hwnat.transport.base import Transport
from hwnat.transport.words import printable

#: (target, runner) in the order of preference, by transport; the first is taken if none works.
_CHOICES: Final = {
    "adb": (("tflite", "benchmark_model"), ("tflite", "litert")),
    "ssh": (("tflite", "litert"), ("tflite", "benchmark_model"), ("onnx", "agent"),
            ("openvino", "agent")),
}  # fmt: skip
#: A program that holds one model alternates processes, so a visit must last longer.
_VISIT_MS: Final = {"benchmark_model": 400.0}
_USUAL_VISIT_MS: Final = 100.0
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A device, and the file that describes it.

    Attributes:
        spec: the device with the runner that was chosen.
        runner: whether that works already; None if this process times the models.
        text: content of the device file.
    """

    spec: DeviceSpec
    runner: Installed | None
    text: str


def describe(spec: DeviceSpec, link: Transport, *, target: str | None = None) -> NewDevice:
    """Look at a remote device and choose a runner.

    Args:
        spec: how it is reached; its target and runner are replaced.
        link: to the device.
        target: consider only runners of this target.

    Raises:
        UsageError: no runner for this target is known.
        DeviceError: the device does not answer.
    """
    reached, machine = link.probe(), probe_machine(link)
    if spec.transport == "adb":
        # The serial keeps another phone from being measured under this name.
        spec = replace(spec, serial=reached.address.removeprefix("adb "))
    choices = [choice for choice in _CHOICES.get(spec.transport, ()) if target in (None, choice[0])]
    if not choices:
        msg = (
            f"No runner is known for target '{target}' over {spec.transport}. Copy a file of "
            "devices/ and adapt it, see docs/devices.md."
        )
        raise UsageError(msg)
    specs = [_with(spec, *choice) for choice in choices]
    place = Place(spec=specs[0], link=link, machine=machine, folder=tools_folder(reached.workdir))
    tried: list[tuple[DeviceSpec, Installed | None]] = []
    if reached.executable:
        for candidate in specs:
            installed = _state(replace(place, spec=candidate))
            tried.append((candidate, installed))
            if installed.runtime is not None:
                break
    working = [pair for pair in tried if pair[1] and pair[1].runtime is not None]
    best: list[tuple[DeviceSpec, Installed | None]] = [*working, *tried, (specs[0], None)]
    first, state = best[0]
    chosen = replace(first, about=_about(machine), board=_board(machine))
    return NewDevice(spec=chosen, runner=state, text=device_text(chosen, machine))


def _with(spec: DeviceSpec, target: str, runner: str) -> DeviceSpec:
    visit_ms = _VISIT_MS.get(runner, _USUAL_VISIT_MS)
    protocol = TimingProtocol(rounds=_ROUNDS, visit_ms=visit_ms)
    return replace(spec, target=target, runner=runner, protocol=protocol)


def _state(place: Place) -> Installed:
    try:
        return look_own(place)
    except TransientDeviceError:
        raise
    except (UsageError, DataError, DeviceError) as problem:
        return Installed(runner=str(place.spec.runner), used=True, problem=str(problem))


def describe_local(spec: DeviceSpec, link: Transport) -> NewDevice:
    """Describe this machine with the target of `spec`, whose runtime is a Python package."""
    machine = probe_machine(link)
    chosen = replace(spec, about=_about(machine), board=_board(machine))
    return NewDevice(spec=chosen, runner=None, text=device_text(chosen, machine))


def _about(machine: Machine) -> str:
    """Describe a device in one line: product, chip and cores."""
    host = machine.host
    cores = [
        f"{len(cluster.cores)} {cluster.part}" for cluster in reversed(machine.clusters)
        if cluster.part
    ]  # fmt: skip
    product = host.board or host.cpu or machine.abi or "a device"
    details = ", ".join(filter(None, (host.soc, *cores)))
    return printable(f"{product}: {details}" if details else product, limit=120)


def device_text(spec: DeviceSpec, machine: Machine) -> str:
    """Write the commented device file of a device that was looked at."""
    address = [
        (key, getattr(spec, key), comment)
        for key, comment in (
            ("serial", "The phone's serial number, as `adb devices` prints it."),
            ("host", "An address, or a name in ~/.ssh/config."),
            ("port", ""),
            ("user", ""),
            ("workdir", "Folder on the device that hwnat may fill."),
        )
        if getattr(spec, key) is not None
    ]
    lines = [
        *("# How to reach and measure this device. All keys: docs/devices.md.", ""),
        *_key("about", spec.about, "One line for `hwnat device list`."),
        *_key("transport", spec.transport, ""),
        *(line for key in address for line in _key(*key)),
        *(_key("board", spec.board, "Any other device is refused.") if spec.board else ()),
        "",
        *_key("target", spec.target, "Model format and runtime."),
        *(_key("runner", spec.runner, "Program that times models there.") if spec.runner else ()),
        *(() if spec.python == "python3" else _key("python", spec.python, "Python of the device.")),
        *_key("precision", spec.precision, "fp32 or int8."),
        *_key("threads", spec.threads, "Threads of the runtime."),
        *_affinity(machine),
        "",
        "[protocol]",
        *_key("rounds", spec.protocol.rounds, "Visits to each model."),
        *_key("visit_ms", spec.protocol.visit_ms, "Least duration of a visit, in milliseconds."),
    ]
    return "\n".join(lines) + "\n"


def _board(machine: Machine) -> str | None:
    """Return a pattern for this board's name; None if a file cannot hold the name."""
    board = machine.host.board
    return escape(board) if board and board.isprintable() else None


def _affinity(machine: Machine) -> Sequence[str]:
    clusters = "; ".join(
        f"{', '.join(map(str, cluster.cores))} ({printable(cluster.part or 'unknown design')})"
        for cluster in machine.clusters
    )
    comment = "Cores to pin to: auto picks fast ones."
    return _key(
        "affinity", "auto", f"{comment} This device has {clusters}." if clusters else comment
    )


def _key(name: str, value: object, comment: str) -> Sequence[str]:
    # A JSON string without control characters is a TOML string as well.
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    return [f"# {comment}", line] if comment else [line]


def write_new(device: NewDevice, folder: Path) -> Path:
    """Write a device file and return its path.

    Raises:
        UsageError: the file exists.
    """
    path = folder / f"{device.spec.name}.toml"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(device.text)
    except FileExistsError as exists:
        msg = f"{path} exists and is not overwritten. Choose another name, or edit the file."
        raise UsageError(msg) from exists
    return path
