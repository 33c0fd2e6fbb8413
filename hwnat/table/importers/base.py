"""The protocol of importers, their result, and their lookup by name.

An importer passes every number to an `Intake` (hwnat.table.importers.intake), which parses it
strictly (hwnat.table.importers.values), converts it to nanoseconds and records what it leaves out.
`Intake.done` returns the result.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Protocol, Self, runtime_checkable

from hwnat import plugins
from hwnat.errors import DataError, UsageError
from hwnat.records.parse import read_bytes
from hwnat.table.entry import Entry

Unit = Literal["ns", "us", "ms", "s"]
Granularity = Literal["block", "operator"]
Severity = Literal["error", "warning"]
GROUP: Final = "hwnat.importers"
#: The largest known published file has 2 MB.
MOST_BYTES: Final = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to import."""

    name: str
    content: bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            DataError: it is missing, not a regular file, or larger than 8 MiB.
        """
        return cls.of(str(path), read_bytes(path, what="imported file", max_bytes=MOST_BYTES))

    @classmethod
    def of(cls, name: str, content: bytes) -> Self:
        """Make a source of bytes that are already read."""
        return cls(name=name, content=content)

    @cached_property
    def text(self) -> str:
        """The content as text, without a byte-order mark.

        Raises:
            DataError: it is not UTF-8.
        """
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            msg = f"{self.name}: not UTF-8 text (byte {problem.start}). Is this the right file?"
            raise DataError(msg) from problem

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def at(self, line: int) -> str:
        """Name a place in the file; lines count from 1."""
        return f"{self.name}:{line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The user's statements about the files.

    Attributes:
        device: name of the device; selects one if a file has several.
        unit: unit of the numbers; None for that of the format.
        options: option name -> value; each importer lists the options it supports.
        lenient: report an invalid value as a finding and continue; the value is still left out.
            For `hwnat table lint`.
    """

    device: str
    unit: Unit | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    lenient: bool = False

    def __post_init__(self) -> None:
        if not self.device.strip() or "/" in self.device or self.device.startswith("."):
            msg = f"Device name {self.device!r} is not the name of a folder; set --device NAME."
            raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem in a table or file.

    Attributes:
        rule: name of the rule; hwnat.table.lint describes each one.
        where: file and line, or name of the table.
        key: foreign or canonical key of the entry; empty if the finding is about the whole file.
        message: the problem and its remedy.
    """

    rule: str
    severity: Severity
    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key + ': ' if self.key else ''}{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTotal:
    """A whole network whose measured latency is in the files.

    Attributes:
        keys: canonical keys of its operations in order, repeats included.
        unmapped: its foreign keys without a canonical key.
        std_ns: standard deviation of its runs; 0 if the files do not have it.
        sum_ns: sum of its own rows if the files list rows by network, otherwise 0. It can differ
            from the sum of the entries, which may be medians over several networks.
    """

    name: str
    keys: tuple[str, ...]
    measured_ns: int
    unmapped: tuple[str, ...] = ()
    std_ns: int = 0
    sum_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The conditions of the measurement; unknown ones are None."""

    target: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    threads: int | None = None
    precision: str | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        counts = (self.threads, self.batch)
        if any(count is not None and count < 1 for count in counts):
            msg = f"threads and batch are {self.threads} and {self.batch}; both must be at least 1."
            raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The content of files of one format.

    Attributes:
        format: the importer's name.
        device: the requested device.
        unit: unit of the numbers in the files; entries are in nanoseconds.
        entries: canonical operation key -> latency, with provenance `imported`.
        places: canonical key -> its file and line.
        unmapped: foreign key -> the reason why it has no entry.
        space: name, classes and resolutions of the space with these blocks; None if the files are
            not a block table.
        networks: whole networks with a measured latency.
        facts: facts about the runtime that the format or the files state.
    """

    format: str
    device: str
    unit: Unit
    sources: tuple[Source, ...]
    granularity: Granularity
    entries: Mapping[str, Entry]
    places: Mapping[str, str]
    unmapped: Mapping[str, str]
    findings: tuple[Finding, ...]
    space: str | None = None
    classes: int | None = None
    resolutions: tuple[int, ...] = ()
    networks: tuple[NetworkTotal, ...] = ()
    facts: Facts = field(default_factory=Facts)

    def __post_init__(self) -> None:
        if (self.space is None) != (self.classes is None):
            msg = f"{self.format}: a block table needs both its space and its classes."
            raise DataError(msg)
        if odd := [key for key, entry in self.entries.items() if entry.provenance != "imported"]:
            msg = f"{self.format}: {odd[0]} is not marked as imported."
            raise DataError(msg)


@runtime_checkable
class Importer(Protocol):
    """A published format.

    Attributes:
        format: its name in the entry-point group.
        unit: unit of the numbers in such files, unless the request has another.
        options: option name -> one line of help.
    """

    format: str
    unit: Unit
    options: Mapping[str, str]

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read all files of one device and record everything that is left out.

        Raises:
            DataError: a file is damaged or in another format; unless lenient, also if a value is
                not a latency or a key has two values.
            UsageError: an option is missing or invalid.
        """
        ...


def get_importer(name: str) -> Importer:
    """Return the importer registered as `name`.

    Raises:
        UsageError: the importer is unknown, or its plug-in is not an importer.
    """
    plugin = plugins.load(GROUP, name)
    importer = plugin() if callable(plugin) else plugin
    if not isinstance(importer, Importer):
        msg = f"Plug-in '{name}' of {GROUP} returned {type(importer).__name__}, not an Importer."
        raise UsageError(msg)
    return importer


def import_files(name: str, paths: Sequence[str | Path], request: Request) -> Imported:
    """Read files with the importer registered as `name`.

    Raises:
        DataError, UsageError: see `Importer.read`; UsageError also for an unknown option.
    """
    importer = get_importer(name)
    for option in request.options:
        if option not in importer.options:
            near = get_close_matches(option, importer.options, n=1, cutoff=0.0)
            hint = f" Did you mean '{near[0]}'?" if near else " It has no options."
            msg = f"Format {name} has no option '{option}'.{hint}"
            raise UsageError(msg)
    if not paths:
        msg = f"Name at least one file of format {name}."
        raise UsageError(msg)
    return importer.read([Source.read(Path(path)) for path in paths], request)
