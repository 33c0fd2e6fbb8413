"""Runs a program on this machine with limits on its time and its output."""

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import IO, Final

#: How long to wait for a silent pipe after the program has ended; a daemon may hold it open.
_LINGER_S: Final = 0.2
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A program that has ended.

    Attributes:
        returncode: its exit status; None if it was killed at its limit of time or output.
        stdout: its stdout.
        stderr: its stderr.
        flooded: whether it printed more than its limit.
        elapsed_s: time from its start to its end.
    """

    returncode: int | None
    stdout: bytes
    stderr: bytes
    flooded: bool
    elapsed_s: float

    @property
    def text(self) -> str:
        """All output as text; stderr comes first."""
        return (self.stderr + b"\n" + self.stdout).decode("utf-8", "replace")


def run_client(
    argv: Sequence[str], *, timeout_s: float, limit_bytes: int, stdin: IO[bytes] | None = None
) -> Ended:
    """Run a program in its own session, without a terminal on which it could ask questions.

    The program and all processes of its session are killed after `timeout_s`, when it prints more
    than `limit_bytes`, or when this function raises an exception.

    Args:
        argv: program and arguments; no shell is involved.
        timeout_s: time limit from the start.
        limit_bytes: limit on stdout and stderr together.
        stdin: an open file for the program to read; None gives it an empty stdin.

    Raises:
        OSError: the program cannot be started.
        ValueError: an argument holds a null byte.
    """
    began = monotonic()
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            printed = {process.stdout: bytearray(), process.stderr: bytearray()}
            ended = _drain(process, printed, deadline=began + timeout_s, limit_bytes=limit_bytes)
            if ended:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, began + timeout_s - monotonic()))
            returncode = process.poll()
        finally:
            _kill(process)
    stdout, stderr = (bytes(stream) for stream in printed.values())
    return Ended(
        returncode=returncode,
        stdout=stdout,
        stderr=stderr,
        flooded=len(stdout) + len(stderr) > limit_bytes,
        elapsed_s=monotonic() - began,
    )


def _drain(
    process: subprocess.Popen[bytes],
    printed: dict[IO[bytes] | None, bytearray],
    *,
    deadline: float,
    limit_bytes: int,
) -> bool:
    """Read until the pipes end; return whether they ended within the limits."""
    left_bytes = limit_bytes
    with selectors.DefaultSelector() as selector:
        for stream in printed:
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, printed[stream])
        while selector.get_map():
            left_s = deadline - monotonic()
            if left_s <= 0 or left_bytes < 0:
                return False
            ready = selector.select(min(left_s, _LINGER_S))
            if not ready and process.poll() is not None:
                return True
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK_BYTES)
                left_bytes -= len(chunk)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its session if it is still running."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
