"""Device files: each is a TOML file with how to reach a device, pin its cores and time models."""

import hashlib
import json
import re
import shlex
import tomllib
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from hwnat.errors import DataError, UsageError
from hwnat.records import parse, trust

#: Arithmetic of a model file.
Precision = Literal["fp32", "int8"]

#: Where `load_device` looks for a name: in the working directory, then in the package.
FOLDERS: Final = (Path("devices"), Path(str(files("hwnat.records"))) / "devices")
#: Names of Python that PATH resolves, so the installation of the device decides what they start.
_PYTHON: Final = re.compile(r"python(3(\.\d{1,2})?)?", re.ASCII)
#: Largest number of rounds, runs or warm-up runs, and longest visit.
_MAX_COUNT: Final = 1_000_000
_MAX_VISIT_MS: Final = 1e5
#: Largest number of cores that Linux supports; a larger core number is an error.
MAX_CORES: Final = 8192
#: Largest size of a device file.
_MAX_BYTES: Final = 64 << 10

#: Key -> text that no program mistakes for an option, a command or the end of a line.
_WORDS: Final = {
    "serial": re.compile(r"[A-Za-z0-9._:\[][A-Za-z0-9._:%@()\[\] -]{0,253}", re.ASCII),
    "host": re.compile(r"[A-Za-z0-9._:][A-Za-z0-9._:%-]{0,253}", re.ASCII),
    "user": re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}", re.ASCII),
    "delegate": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII),
    "governor": re.compile(r"[a-z][a-z_]{0,31}", re.ASCII),
    "python": re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]{0,253}", re.ASCII),
}
#: Key -> the built-in transport that uses it; the transport of a plug-in may use any of them.
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
        rounds: number of visits to every model. The order is shuffled for each round.
        runs: number of timed runs in one visit, each followed by a run of the reference model.
        warmup: number of untimed runs at the start of a visit.
        visit_ms: shortest visit. A visit to a quick model adds runs until it has lasted this
            long. Runs in its first half are not timed, because caches need time to settle.
    """

    rounds: int = 8
    runs: int = 5
    warmup: int = 1
    visit_ms: float = 5.0

    def __post_init__(self) -> None:
        counts = (self.rounds, self.runs, self.warmup)
        if min(self.rounds, self.runs) < 1 or self.warmup < 0 or max(counts) > _MAX_COUNT:
            msg = (
                f"protocol {self} needs at least one round and one run, no negative warm-up, and "
                f"at most {_MAX_COUNT} of each."
            )
            raise DataError(msg)
        if not 0 <= self.visit_ms < _MAX_VISIT_MS:
            msg = f"protocol {self} needs a visit_ms from 0 to {_MAX_VISIT_MS:g}."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Npu:
    """An accelerator and its system, for a compiler that estimates latencies.

    Attributes:
        accelerator: configuration of the accelerator, such as ethos-u55-128.
        system: section of `config` that describes the clock and the memories.
        memory: section of `config` that assigns data to the memories.
        config: configuration file of the compiler.
    """

    accelerator: str
    system: str
    memory: str
    config: str = "Arm/vela.ini"

    def __post_init__(self) -> None:
        for name in ("accelerator", "system", "memory", "config"):
            # These values become arguments of a command.
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
    """The state that a device must be in before a block of measurements begins.

    Checks are skipped for values that the device does not report.

    Attributes:
        thermal_status: highest thermal status of Android.
        temperature_c: upper limit on the hottest thermal zone.
        skin_c: upper limit on the surface temperature of a phone.
        battery_percent: lowest charge; phones with less save power.
        battery_c: upper limit on the battery temperature.
        load: highest number of runnable processes besides those of hwnat. None means 2, or 20
            on Android.
        wait_s: how long the profile waits for this state before it stops.
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
    """A device and the runtime that is used on it.

    Attributes:
        name: name of the device file, without its suffix.
        transport: name in the entry-point group `hwnat.transports`.
        target: name in the entry-point group `hwnat.targets`.
        threads: number of threads of the runtime.
        affinity: cores to pin the runner to; `auto` lets hwnat choose `threads` fast ones.
        priority: `auto` keeps ordinary programs off those cores while a model is timed, if the
            system permits it; `normal` shares the cores with them.
        precision: arithmetic of the model files.
        protocol: how often models are run.
        serial: serial number of a phone, as `adb devices` prints it; `auto` uses the only phone
            that is attached.
        host: address of a board, or its name in ~/.ssh/config.
        port: port of the ssh server; None leaves it to ~/.ssh/config.
        user: user to log in as; None leaves it to ~/.ssh/config.
        workdir: folder of the device that hwnat may write to and start programs in; None uses
            the default of the transport.
        transcript: file that holds the recorded calls of a transport.
        board: shell pattern that the reported board must match, such as `Pixel 8`.
        soc: shell pattern that the reported chip must match, such as `SM8550`.
        npu: accelerator, for targets that estimate latencies instead of timing models.
        runner: program that times models on the device: a name in the entry-point group
            `hwnat.runners`. None uses the default of the target.
        delegate: accelerator that must run whole models, such as `gpu` or `nnapi`.
        clocks: `fixed` makes Android hold a clock level that it can sustain while models are
            timed.
        governor: governor to set for all cores while models are timed, which needs root; None
            leaves it unchanged.
        python: Python interpreter of the device, which starts the agent.
        gate: state that the device must be in before a block of measurements.
        about: one line that describes the device, for lists.
        verified: how the file was tested, in words; None if it was never tested.
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
    board: str | None = None
    soc: str | None = None
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
        if not 1 <= self.threads <= MAX_CORES:
            msg = f"threads is {self.threads}; it must be at least 1 and at most {MAX_CORES}."
            raise DataError(msg)
        cores = self.affinity if self.affinity != "auto" else (0,)
        distinct = len(set(cores)) == len(cores)
        if not cores or min(cores) < 0 or max(cores) >= MAX_CORES or not distinct:
            msg = f"affinity {self.affinity!s:.80} is not a list of distinct core numbers."
            raise DataError(msg)


def _check_address(spec: DeviceSpec) -> None:
    """Refuse an address that is incomplete, or that a program could mistake for an option."""
    if not parse.is_name(spec.name):
        msg = (
            f"name {spec.name!r:.120} is not the name of a device; use letters, digits and . _ - "
            "and begin with a letter or a digit."
        )
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
    _check_paths(spec)


def _check_paths(spec: DeviceSpec) -> None:
    """Refuse a program or a folder that depends on where hwnat is started."""
    if "/" in spec.python and not spec.python.startswith("/"):
        msg = f"python is {spec.python!r:.80}; give the name of a program or its full path."
        raise DataError(msg)
    if spec.transcript is not None and not _plain(spec.transcript):
        msg = f"transcript is {spec.transcript!r:.80}; it must be the path of a file."
        raise DataError(msg)
    folder = spec.workdir
    if folder is None:
        return
    relative = spec.transport in {"adb", "local"} and not folder.startswith("/")
    odd = not folder.strip("/") or folder[0] in "-~" or ".." in folder.split("/")
    if relative or odd or not _plain(folder):
        msg = f"workdir is {folder!r:.80}; it must be the full path of a folder, without '..'."
        raise DataError(msg)


def _plain(text: str) -> bool:
    """Return whether a text is one line of printable characters."""
    return text.isprintable()


def powers(spec: DeviceSpec) -> tuple[str, ...]:
    """Return a phrase for each action that a device file asks for and that needs your trust."""
    asked = []
    if spec.transport == "local" and spec.runner is not None:
        asked.append(f"starts runner '{spec.runner}' on this machine")
    if not _PYTHON.fullmatch(spec.python):
        asked.append(f"starts the program '{spec.python}'")
    if spec.workdir is not None:
        asked.append(f"writes to folder '{spec.workdir}' and starts programs there")
    if spec.transcript is not None and _is_outside(spec.transcript):
        asked.append(f"reads '{spec.transcript}'")
    if spec.npu is not None and _is_outside(spec.npu.config):
        asked.append(f"reads '{spec.npu.config}'")
    return tuple(asked)


def _is_outside(path: str) -> bool:
    return path.startswith("/") or ".." in PurePosixPath(path).parts


def device_names() -> tuple[str, ...]:
    """Return the sorted names of the device files in `FOLDERS`."""
    return tuple(sorted({path.stem for folder in FOLDERS for path in folder.glob("*.toml")}))


def load_device(name: str | Path) -> DeviceSpec:
    """Load a device that hwnat may connect to, by its name or by a path that ends in `.toml`.

    Only a user may give a path. For a name that is read from a file, use `named_device`.

    Raises:
        UsageError: the file is missing, is not TOML, or holds an unknown key or an invalid value.
        DataError: the file asks for something that needs the user's trust, and is not trusted.
    """
    file = read_device(name)
    if not file.is_allowed():
        command = shlex.join(("hwnat", "device", "trust", str(file.path)))
        msg = (
            f"{file.path} {' and '.join(file.powers)}. hwnat follows such a device file only if "
            f"you trust it. Read the file, then run: {command}"
        )
        raise DataError(msg)
    return file.spec


def named_device(name: str, *, where: str) -> DeviceSpec:
    """Load the device that a table or another file names; paths are refused.

    Args:
        name: name of a device file in `FOLDERS`, without its suffix.
        where: the file that holds the name, for messages.

    Raises:
        DataError: the name is a path, or the device file needs the user's trust and lacks it.
        UsageError: the device file is missing or invalid.
    """
    if not parse.is_name(name):
        msg = f"{where} names the device {name!r:.80}, which is not the name of a device file."
        raise DataError(msg)
    return load_device(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """A device file that was read.

    Attributes:
        path: path of the file.
        content: bytes of the file; their hash decides whether it is trusted.
        spec: the device that the file describes.
    """

    path: Path
    content: bytes
    spec: DeviceSpec

    @property
    def powers(self) -> tuple[str, ...]:
        """A phrase for each action that needs the user's trust; empty if there is none."""
        return powers(self.spec)

    @property
    def is_shipped(self) -> bool:
        """Whether the file came with hwnat."""
        return self.path.resolve().parent == FOLDERS[-1].resolve()

    def is_allowed(self) -> bool:
        """Return whether hwnat may follow the file.

        Raises:
            DataError: the list of trusted files is damaged.
        """
        return not self.powers or self.is_shipped or trust.is_trusted(self.content)

    @property
    def trust_words(self) -> str:
        """Whether the file is trusted, and why or for what."""
        if self.is_shipped:
            return "came with hwnat"
        if not self.powers:
            return "not needed: names no program or folder"
        asked = ", ".join(self.powers)
        return f"yes: {asked}" if trust.is_trusted(self.content) else f"no: {asked}"

    def trust(self) -> None:
        """Record that the user trusts this content.

        Raises:
            DataError: the list of trusted files is damaged.
            UsageError: the list cannot be written.
        """
        trust.trust(self.content, path=self.path)


def read_device(name: str | Path) -> DeviceFile:
    """Read a device file by its name or path, without asking whether it is trusted.

    Raises:
        UsageError: the file is missing, is not TOML, or holds an unknown key or an invalid value.
    """
    path = Path(name)
    if path.suffix != ".toml":
        candidates = [folder / f"{name}.toml" for folder in FOLDERS]
        path = next((path for path in candidates if path.is_file()), candidates[0])
    try:
        is_there = path.exists() and not path.is_dir()
    except (OSError, ValueError):
        is_there = False
    if not is_there:
        known = device_names()
        near = get_close_matches(str(name)[:80], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        msg = f"No device file {path}.{hint} Known devices: {', '.join(known) or 'none'}."
        raise UsageError(msg)
    content = parse.read_bytes(path, what="device file", max_bytes=_MAX_BYTES, error=UsageError)
    try:
        raw = tomllib.loads(content.decode())
    # Besides TOML errors, this catches integers of thousands of digits and endless nesting.
    except (ValueError, RecursionError) as problem:
        msg = f"{path}: not a TOML file: {problem}."
        raise UsageError(msg) from problem
    spec = parse.record(DeviceSpec, {"name": path.stem, **raw}, where=str(path), error=UsageError)
    if spec.name != path.stem:
        msg = f"{path}: name is '{spec.name}'; leave it out or call it '{path.stem}'."
        raise UsageError(msg)
    return DeviceFile(path=path, content=content, spec=spec)
