"""What every transport can do."""

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
    ". The program is made for another processor, or the file system of its folder starts no "
    "programs: set another workdir in the device file."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended by itself. Output that is not UTF-8 has replacement characters.

    Attributes:
        returncode: 0 to 255; a command that died of signal n has 128 + n, as in a shell.
        stdout: output, including control characters.
        stderr: the same; empty if the device merges it into stdout.
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
    """What a device reports about the folder where hwnat works.

    Attributes:
        address: how the device is reached, such as `adb R58M` or `ssh pi@board`.
        client: name and version of the program that reaches it; None for this machine.
        workdir: the folder, which exists now.
        executable: whether programs can start there; a folder mounted `noexec` starts none.
        hash: how pushed files are compared; None if the device computes neither.
        time_limit: whether the device can kill a command at a time limit (`timeout -k`).
        free_bytes: of the folder's file system; None if it is not known.
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
    """A way to one device. Paths on the device are text, because they may be invalid here.

    Attributes:
        address: how the device is reached; equal for equal devices.
    """

    address: str

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with empty stdin. The caller judges its exit status.

        Raises:
            DeviceError: the command could not be started, or was killed after `timeout_s`.
            TransientDeviceError: the link was lost; the output is discarded.
        """
        ...

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device, creating folders; `target` is never half-written.

        Raises:
            DeviceError: the copy failed.
        """
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device, creating folders; `target` is never half-written.

        Raises:
            DeviceError: the copy failed.
        """
        ...

    def probe(self) -> Probe:
        """Reach the device, make its working folder and report what can be done there.

        Raises:
            DeviceError: it cannot be reached, or the folder cannot be made.
        """
        ...

    def close(self) -> None:
        """End what the link keeps running here; the next call restarts it."""
        ...


def connect(spec: DeviceSpec) -> Transport:
    """Return the transport that `spec` names, of the entry-point group `hwnat.transports`.

    A plug-in is a callable that takes a `DeviceSpec` and returns a `Transport`. Nothing is sent
    to the device yet.

    Raises:
        UsageError: no such transport, or the plug-in is not one.
        DeviceError: a program that the transport needs is not installed.
    """
    make: Callable[[DeviceSpec], object] = plugins.load("hwnat.transports", spec.transport)
    transport = make(spec)
    if not isinstance(transport, Transport):
        msg = f"Plug-in '{spec.transport}' of hwnat.transports returned {type(transport).__name__}."
        raise UsageError(msg)
    return transport
