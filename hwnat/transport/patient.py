"""A transport that waits until a lost link is back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Final, TypeVar

from hwnat.errors import TransientDeviceError
from hwnat.transport.base import Completed, Probe, Transport

T = TypeVar("T")

#: First and longest pause between two attempts.
_PAUSE_S: Final = (0.5, 15.0)


class PatientTransport:
    """Repeats calls that failed because the link was lost. Use it for calls that may be repeated.

    Args:
        link: link to the device.
        name: name of the device, for messages.
        patience_s: how long to wait for a lost link before raising its error.
        tell: called with a message when the link is lost, while waiting, and when it is back.
    """

    def __init__(
        self, link: Transport, *, name: str, patience_s: float, tell: Callable[[str], None]
    ) -> None:
        self._link, self._name, self._patience_s, self._tell = link, name, patience_s, tell
        self.address = link.address

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command; see `Transport.run`."""
        return self._repeat(lambda: self._link.run(argv, timeout_s=timeout_s))

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device; see `Transport.push`."""
        self._repeat(lambda: self._link.push(source, target))

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device; see `Transport.pull`."""
        self._repeat(lambda: self._link.pull(source, target))

    def probe(self) -> Probe:
        """Connect to the device; see `Transport.probe`."""
        return self._repeat(self._link.probe)

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def _repeat(self, call: Callable[[], T]) -> T:
        began, pause = monotonic(), _PAUSE_S[0]
        lost = False
        while True:
            try:
                result = call()
            except TransientDeviceError as failed:
                if not lost:
                    # The wait begins when the call fails, not when it started.
                    lost, began = True, monotonic()
                    self._tell(str(failed))
                waited = monotonic() - began
                if waited + pause > self._patience_s:
                    raise
                self._tell(f"Waiting for {self._name}: link lost for {waited:.0f} s.")
                sleep(pause)
                pause = min(1.5 * pause, _PAUSE_S[1])
            else:
                if lost:
                    self._tell(f"{self._name} is back after {monotonic() - began:.0f} s.")
                return result


_CHECK: type[Transport] = PatientTransport
