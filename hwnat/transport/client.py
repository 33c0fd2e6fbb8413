"""Run a program on this machine within limits of time and output."""

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import IO, Final

#: How long a pipe may stay silent after the program has ended; a daemon may hold it open.
_LINGER_S: Final = 0.2
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a program printed; `returncode` is None if it was killed at a limit of time or output.

    Attributes:
        flooded: it was killed because it printed too much.
        elapsed_s: from start to end.
    """

    returncode: int | None
    stdout: bytes
    stderr: bytes
    flooded: bool
    elapsed_s: float

    @property
    def text(self) -> str:
        """All that was printed, errors first."""
        return (self.stderr + b"\n" + self.stdout).decode("utf-8", "replace")


def run_client(
    argv: Sequence[str], *, timeout_s: float, limit_bytes: int, stdin: IO[bytes] | None = None
) -> Ended:
    """Run a program in a session of its own, without a terminal to ask questions on.

    The program and everything it started in its session are killed after `timeout_s`, when it
    prints more than `limit_bytes`, or when an exception leaves this function.

    Args:
        argv: program and arguments; no shell is involved.
        timeout_s: time limit from its start.
        limit_bytes: of stdout and stderr together.
        stdin: an open file that it reads; empty if there is none.

    Raises:
        OSError: it cannot be started.
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
    """Read until the pipes end; return whether they did, within the limits."""
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
    """Kill a program that still runs, with its session."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
