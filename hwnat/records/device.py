"""How a device is reached, pinned and timed: one TOML file each."""

import hashlib
import json
import re
import tomllib
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from hwnat.errors import DataError, UsageError
from hwnat.records import parse

#: Of the files that are timed, and of their arithmetic.
Precision = Literal["fp32", "int8"]

#: Where `load_device` looks for a name: the working directory, then what came with the package.
FOLDERS: Final = (Path("devices"), Path(str(files("hwnat.records"))) / "devices")

#: Letters that no program takes for an option, a command or the end of a line.
_WORDS: Final = {
    "serial": re.compile(r"[A-Za-z0-9._:\[][A-Za-z0-9._:%@()\[\] -]{0,253}", re.ASCII),
    "host": re.compile(r"[A-Za-z0-9._:][A-Za-z0-9._:%-]{0,253}", re.ASCII),
    "user": re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}", re.ASCII),
    "delegate": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII),
    "governor": re.compile(r"[a-z][a-z_]{0,31}", re.ASCII),
    "python": re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]{0,253}", re.ASCII),
}
#: Key -> the transport it is for; a transport of a plug-in may use any of them.
_KEYS_OF: Final = {
    "serial": "adb",
    "host": "ssh",
    "port": "ssh",
    "user": "ssh",
    "transcript": "replay",
}
_NEEDS: Final = {"adb": "serial", "ssh": "host", "replay": "transcript"}
_BUILT_IN: Final = ("local", *_NEEDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingProtocol:
    """How often a model is run.

    Attributes:
        rounds: visits to every model, in an order shuffled anew for each round.
        runs: timed runs of the model in one visit, each followed by one of the reference model.
        warmup: untimed runs before them.
        visit_ms: a visit to a quick model goes on with further runs until it has lasted so
            long, the first half of it untimed: caches take time, not runs, to settle.
    """

    rounds: int = 8
    runs: int = 5
    warmup: int = 1
    visit_ms: float = 5.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.runs < 1 or self.warmup < 0 or not 0 <= self.visit_ms < 1e5:
            msg = f"protocol {self} needs at least one round and one run, nothing negative."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Npu:
    """An accelerator that a compiler estimates, with the system around it.

    Attributes:
        accelerator: configuration, such as ethos-u55-128.
        system: clock and memories, a section of `config`.
        memory: what lies in which memory, a section of `config`.
        config: the compiler's configuration file that holds both.
    """

    accelerator: str
    system: str
    memory: str
    config: str = "Arm/vela.ini"

    def __post_init__(self) -> None:
        for name in ("accelerator", "system", "memory", "config"):
            # They become arguments of a command.
            if not re.fullmatch(r"[\w/.][\w/.-]*", value := getattr(self, name)):
                msg = f"npu.{name} is {value!r}; it is a name of letters, digits and _ . / -."
                raise DataError(msg)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits; equal configurations have equal ones."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a device has to be like before a block of measurements begins.

    What a device does not tell is not asked of it.

    Attributes:
        thermal_status: of Android, at most.
        temperature_c: of the hottest thermal zone, below.
        skin_c: of a phone's surface, below.
        battery_percent: charge, at least; below it phones save power.
        battery_c: temperature of the battery, below.
        load: runnable processes beyond those of hwnat, at most; None is 2, and 20 on Android.
        wait_s: how long it is waited for; after that the profile stops.
    """

    thermal_status: int = 0
    temperature_c: float = 70.0
    skin_c: float = 35.0
    battery_percent: int = 30
    battery_c: float = 37.0
    load: float | None = None
    wait_s: float = 600.0

    def __post_init__(self) -> None:
        if not (0 <= self.thermal_status <= 6 and 0 <= self.battery_percent <= 100):
            msg = f"gate {self} has a thermal status from 0 to 6 and a charge from 0 to 100."
            raise DataError(msg)
        if min(self.temperature_c, self.skin_c, self.battery_c) <= 0 or self.wait_s < 0:
            msg = f"gate {self} needs temperatures above 0 and a wait that is not negative."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """One device with the runtime it is used with.

    Attributes:
        name: the file's name, without its suffix.
        transport: name in the entry-point group `hwnat.transports`.
        target: name in the entry-point group `hwnat.targets`.
        threads: of the runtime.
        affinity: cores to pin the runner to; `auto` lets hwnat choose `threads` fast ones.
        priority: `auto` keeps ordinary programs off those cores while a model is timed, where
            the system permits it; `normal` shares them.
        serial: of a phone, as `adb devices` prints it; `auto` is the only one attached.
        host: address of a board, or its name in ~/.ssh/config.
        port: of its ssh server; None for what ~/.ssh/config says, so is `user`.
        user: to log in as.
        workdir: folder of the device that hwnat may fill and where programs can start; None
            for the transport's own.
        transcript: file with the recorded calls of a transport.
        npu: of targets that estimate instead of timing.
        runner: program that times models there, in the entry-point group `hwnat.runners`; None
            for the target's usual one.
        delegate: accelerator that has to run every model whole, such as `gpu` or `nnapi`.
        clocks: `fixed` has Android hold a level that it can sustain while models are timed.
        governor: set for all cores meanwhile, which only root may; None leaves it alone.
        python: that starts the agent, on a device with Python.
        gate: what the device has to be like before a block of measurements.
        about: one line for a list: which device this is.
        verified: how the file was tried, in words; None if it never was.
    """

    name: str
    transport: str
    target: str
    threads: int = 1
    affinity: Literal["auto"] | tuple[int, ...] = "auto"
    priority: Literal["auto", "normal"] = "auto"
    precision: Precision = "fp32"
    protocol: TimingProtocol = field(default_factory=TimingProtocol)
    serial: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    workdir: str | None = None
    transcript: str | None = None
    npu: Npu | None = None
    runner: str | None = None
    delegate: str | None = None
    clocks: Literal["free", "fixed"] = "fixed"
    governor: str | None = None
    python: str = "python3"
    gate: Gate = field(default_factory=Gate)
    about: str | None = None
    verified: str | None = None

    def __post_init__(self) -> None:
        _check_address(self)
        if self.threads < 1:
            msg = f"threads is {self.threads}; it must be at least 1."
            raise DataError(msg)
        cores = self.affinity if self.affinity != "auto" else (0,)
        if not cores or min(cores) < 0 or len(set(cores)) != len(cores):
            msg = f"affinity {self.affinity} is not a list of distinct core numbers."
            raise DataError(msg)


def _check_address(spec: DeviceSpec) -> None:
    """Refuse what does not say where a device is, or could be taken for something else."""
    if not spec.name or spec.name[0] in ".-~" or "/" in spec.name or not _plain(spec.name):
        msg = f"name {spec.name!r} is not that of a file in devices/; use letters and digits."
        raise DataError(msg)
    if spec.transport in _BUILT_IN:
        for key, transport in _KEYS_OF.items():
            if getattr(spec, key) is not None and transport != spec.transport:
                msg = f"{key} is for transport '{transport}', not for '{spec.transport}'."
                raise DataError(msg)
        needed = _NEEDS.get(spec.transport)
        if needed is not None and not getattr(spec, needed):
            msg = f"transport '{spec.transport}' needs the key '{needed}'."
            raise DataError(msg)
    for key, pattern in _WORDS.items():
        value = getattr(spec, key)
        if value is not None and not pattern.fullmatch(value):
            msg = (
                f"{key} is {value!r:.80}; it can hold letters, digits and a few signs like . : - _"
            )
            raise DataError(msg)
    if spec.port is not None and not 1 <= spec.port <= 65_535:
        msg = f"port is {spec.port}; it must be from 1 to 65535."
        raise DataError(msg)
    _check_workdir(spec)


def _check_workdir(spec: DeviceSpec) -> None:
    """Refuse a folder that is none, or that is another one in each program's eyes."""
    folder = spec.workdir
    if folder is None:
        return
    relative = spec.transport in {"adb", "local"} and not folder.startswith("/")
    odd = not folder.strip("/") or folder[0] in "-~" or ".." in folder.split("/")
    if relative or odd or not _plain(folder):
        msg = f"workdir is {folder!r:.80}; it must be the full path of a folder, without '..'."
        raise DataError(msg)


def _plain(text: str) -> bool:
    """Tell whether a text is one line without control characters and the like."""
    return text.isprintable()


def device_names() -> tuple[str, ...]:
    """Return the sorted names of the device files at hand."""
    return tuple(sorted({path.stem for folder in FOLDERS for path in folder.glob("*.toml")}))


def load_device(name: str | Path) -> DeviceSpec:
    """Load a device by the name of its file or by a path that ends in `.toml`.

    Raises:
        UsageError: no such file, not TOML, an unknown key or an impossible value.
    """
    path = Path(name)
    if path.suffix != ".toml":
        found = [folder / f"{name}.toml" for folder in FOLDERS]
        path = next((each for each in found if each.is_file()), found[0])
    if not path.is_file():
        known = device_names()
        near = get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        msg = f"No device file {path}.{hint} Known devices: {', '.join(known) or 'none'}."
        raise UsageError(msg)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
        msg = f"{path}: not a TOML file: {problem}."
        raise UsageError(msg) from problem
    spec = parse.record(DeviceSpec, {"name": path.stem, **raw}, where=str(path), error=UsageError)
    if spec.name != path.stem:
        msg = f"{path}: name is '{spec.name}'; leave it out or call it '{path.stem}'."
        raise UsageError(msg)
    return spec
