"""What every way to a device can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from hwnat import plugins
from hwnat.errors import DeviceError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended by itself; output that is not UTF-8 has replacement characters."""

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
            tail = (self.stderr.strip() or self.stdout.strip())[-300:]
            msg = f"{' '.join(self.argv)} ended with {self.returncode}: {tail or 'no output'}"
            raise DeviceError(msg)
        return self


@runtime_checkable
class Transport(Protocol):
    """A way to one device; paths of the device are text, for they need not be valid here."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with empty stdin; a status other than 0 is the caller's to judge.

        Raises:
            DeviceError: the command could not be started, or was killed after `timeout_s`.
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


def get_transport(name: str) -> Transport:
    """Return the transport registered as `name` in the entry-point group `hwnat.transports`.

    Raises:
        UsageError: no such transport, or the plug-in is not one.
    """
    transport = plugins.load("hwnat.transports", name)()
    if not isinstance(transport, Transport):
        msg = f"Plug-in '{name}' of hwnat.transports returned {type(transport).__name__}."
        raise UsageError(msg)
    return transport
