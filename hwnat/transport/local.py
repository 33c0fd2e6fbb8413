"""The transport to the machine that hwnat runs on."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hwnat.errors import DeviceError
from hwnat.records.device import DeviceSpec
from hwnat.transport.base import Completed, Probe, Transport
from hwnat.transport.client import run_client
from hwnat.transport.shell import OUTPUT_BYTES, probe
from hwnat.transport.words import shown

_WORKDIR: Final = "~/.cache/hwnat/work"


def connect(spec: DeviceSpec) -> "LocalTransport":
    """Return a transport to this machine."""
    return LocalTransport(workdir=spec.workdir)


class LocalTransport:
    """Runs commands as child processes and copies files."""

    def __init__(self, *, workdir: str | None = None) -> None:
        self.address = "this machine"
        self._workdir = workdir

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with empty stdin.

        Raises:
            DeviceError: the command could not be started, or was killed after `timeout_s` or
                because it printed too much.
        """
        try:
            done = run_client(argv, timeout_s=timeout_s, limit_bytes=OUTPUT_BYTES)
        except (OSError, ValueError, IndexError) as problem:
            msg = f"Cannot run {shown(argv) or 'an empty command'}: {problem}."
            raise DeviceError(msg) from problem
        if done.returncode is None:
            why = f"it printed over {OUTPUT_BYTES} bytes" if done.flooded else f"{timeout_s:g} s"
            msg = f"{shown(argv)} was killed after {why}."
            raise DeviceError(msg)
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        return Completed(argv=tuple(argv), returncode=status, stdout=stdout, stderr=stderr)

    def push(self, source: Path, target: str) -> None:
        """Copy a file.

        Raises:
            DeviceError: the copy failed.
        """
        _copy(source, Path(target))

    def pull(self, source: str, target: Path) -> None:
        """Copy a file.

        Raises:
            DeviceError: the copy failed.
        """
        _copy(Path(source), target)

    def probe(self) -> Probe:
        """Create the working folder and report what it allows.

        Raises:
            DeviceError: the folder cannot be created.
        """
        workdir = self._workdir or str(Path(_WORKDIR).expanduser())
        return probe(self.run, workdir, address=self.address, client=None)

    def close(self) -> None:
        """Do nothing, because there are no background processes."""


def _copy(source: Path, target: Path) -> None:
    """Copy through a temporary file beside `target`, so that it is never half-written."""
    try:
        if not source.is_file():
            source.stat()
            msg = f"Cannot copy {shown([str(source)])}: it is not a file."
            raise DeviceError(msg)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as folder:
            Path(shutil.copy(source, Path(folder) / "file")).replace(target)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        msg = f"Cannot copy {shown([str(source)])} to {shown([str(target)])}: {reason}."
        raise DeviceError(msg) from problem


_CHECK: type[Transport] = LocalTransport
