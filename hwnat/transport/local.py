"""The machine that hwnat itself runs on."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hwnat.errors import DeviceError
from hwnat.transport.base import Completed, Transport


class LocalTransport:
    """Commands as child processes, files by copying."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with empty stdin.

        Raises:
            DeviceError: it could not be started, or was killed after `timeout_s`.
        """
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.TimeoutExpired as slow:
            msg = f"{' '.join(argv)} was killed after {timeout_s:g} s."
            raise DeviceError(msg) from slow
        except (OSError, ValueError, IndexError) as problem:
            msg = f"Cannot run {' '.join(argv) or 'an empty command'}: {problem}."
            raise DeviceError(msg) from problem
        return Completed(
            argv=tuple(argv), returncode=done.returncode, stdout=done.stdout, stderr=done.stderr
        )

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


def _copy(source: Path, target: Path) -> None:
    """Copy through a temporary file beside `target`, so that nobody sees half of it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as folder:
            Path(shutil.copy(source, Path(folder) / "file")).replace(target)
    except OSError as problem:
        msg = f"Cannot copy {source} to {target}: {problem.strerror}."
        raise DeviceError(msg) from problem


_CHECK: type[Transport] = LocalTransport
