"""The protocol of transports, and the records that they return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

from hwnat import plugins
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport.words import printable, shown

#: Exit status of a shell that could not execute a file that exists.
_NOT_EXECUTABLE: Final = 126
_HINT: Final = (
    ". The program was built for another processor, or programs cannot start in its folder; set "
    "another workdir in the device file."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended by itself.

    Attributes:
        argv: program and arguments.
        returncode: 0 to 255; it is 128 + n if signal n killed the command, as in a shell.
        stdout: output, including control characters; bytes that are not UTF-8 are replaced.
        stderr: the same for stderr; empty if the device merges it into stdout.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def check(self) -> "Completed":
        """Return self.

        Raises:
            DeviceError: the command failed; the message quotes the end of its stderr.
        """
        if self.returncode:
            tail = printable(self.stderr.strip() or self.stdout.strip(), limit=300)
            hint = "" if self.returncode != _NOT_EXECUTABLE else _HINT
            msg = f"{shown(self.argv)} ended with {self.returncode}: {tail or 'no output'}{hint}"
            raise DeviceError(msg)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A device's report about its working folder.

    Attributes:
        address: address of the device, such as `adb R58M` or `ssh pi@board`.
        client: name and version of the client program; None for this machine.
        workdir: the working folder, which exists now.
        executable: whether programs can start in the folder; they cannot if it is mounted `noexec`.
        hash: hash that the device can compute to check files; None if it can compute neither.
        time_limit: whether the device can kill a command at a time limit (`timeout -k`).
        free_bytes: free space on the folder's file system; None if it is unknown.
    """

    address: str
    client: str | None
    workdir: str
    executable: bool
    hash: Literal["sha256", "md5"] | None
    time_limit: bool
    free_bytes: int | None


@runtime_checkable
class Transport(Protocol):
    """A transport to one device.

    Paths on the device are text, because they may be invalid on this machine.

    Attributes:
        address: address of the device; it identifies the device.
    """

    address: str

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with empty stdin. The caller judges its exit status.

        Raises:
            DeviceError: the command could not be started, or was killed after `timeout_s`.
            TransientDeviceError: the link was lost, so the output is discarded.
        """
        ...

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device and create its folder; `target` is never half-written.

        Raises:
            DeviceError: the copy failed.
        """
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device and create its folder; `target` is never half-written.

        Raises:
            DeviceError: the copy failed.
        """
        ...

    def probe(self) -> Probe:
        """Connect to the device, create its working folder and report what the folder allows.

        Raises:
            DeviceError: the device cannot be reached, or the folder cannot be created.
        """
        ...

    def close(self) -> None:
        """Stop background processes of the link on this machine; the next call restarts them."""
        ...


def connect(spec: DeviceSpec) -> Transport:
    """Return the transport that `spec` names in the entry-point group `hwnat.transports`.

    A plug-in is a callable that takes a `DeviceSpec` and returns a `Transport`. Nothing is sent
    to the device yet.

    Raises:
        UsageError: the transport does not exist, or the plug-in does not return a `Transport`.
        DeviceError: a program that the transport needs is not installed.
    """
    make: Callable[[DeviceSpec], object] = plugins.load("hwnat.transports", spec.transport)
    transport = make(spec)
    if not isinstance(transport, Transport):
        msg = f"Plug-in '{spec.transport}' of hwnat.transports returned {type(transport).__name__}."
        raise UsageError(msg)
    return transport
