"""Frames commands for the shell of a device, so that a command that ran to its end is recognised.

The exit code of `adb` or `ssh` proves nothing: adb 29 exits with 0 when the cable is pulled. A
command therefore prints marks around its output on both streams. The marks contain a random token
of the call, and only the last mark contains the exit code. Greetings of a login shell come before
the first mark and are cut off. The command line contains no complete mark, so a device that echoes
it or lists its processes does not forge one.

The exit code of `timeout` proves nothing either: that of toybox 0.8.9 mostly exits with 127. The
last mark is therefore printed by a shell that runs under the time limit and is killed together
with the command.
"""

import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from hwnat.transport.shell import program

#: Seconds between the signal that asks a command to end and the one that ends it, in `framed.sh`.
KILL_AFTER_S: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """The output of a command between its marks.

    Attributes:
        state: `done` if the command ran to its end; `silent` if no mark arrived; `cut` if the last
            mark did not arrive; `late` if the command was killed at its time limit; `unlimited` if
            the device did not run the command because it cannot limit its time.
        status: exit code of the command, if `state` is `done`.
        stdout: output between the marks, if `state` is `done`.
        stderr: the same for stderr.
    """

    state: Literal["silent", "cut", "unlimited", "late", "done"]
    status: int = -1
    stdout: bytes = b""
    stderr: bytes = b""


def new_token() -> str:
    """Return a token that no device can guess."""
    return f"hwnat-{secrets.token_hex(16)}"


def command_line(token: str, argv: Sequence[str], *, timeout_s: float, reads: bool = False) -> str:
    """Return a line with which any POSIX shell runs `argv` between marks and with a time limit.

    Args:
        token: token of this call.
        argv: program and arguments.
        timeout_s: time limit. It is rounded up to whole seconds, because some versions of
            `timeout` accept only these.
        reads: whether the command reads stdin; otherwise its stdin is empty.
    """
    limit_s = str(max(1, ceil(timeout_s)))
    words = [token, limit_s, "yes" if reads else "no", program("transport/framed_inner"), *argv]
    return shlex.join(["sh", "-c", program("transport/framed"), *words])


def read(token: str, stdout: bytes, stderr: bytes) -> Framed:
    """Return the output of a command between the marks of its call.

    A device without separate streams sends everything as `stdout`. A device with a terminal does
    the same, and also turns each line end into two characters, which stay in the output.
    """
    mark = token.encode()
    before, first, rest = stdout.partition(mark + b"<")
    newline = b"\r\n" if rest.startswith(b"\r\n") else b"\n"
    if not first or not rest.startswith(newline):
        # The link may have been lost after the first mark of one stream.
        return Framed(state="cut" if mark + b"(" in stdout + stderr else "silent")
    start, end = mark + b"(" + newline, newline + mark + b")" + newline
    body, last, how = rest[len(newline) :].rpartition(newline + mark + b"!")
    if not last or how not in {b"ended" + newline, b"unlimited" + newline}:
        return Framed(state="cut")
    if how.startswith(b"unlimited"):
        return Framed(state="unlimited")
    output, ended, code = body.rpartition(newline + mark + b">")
    if not ended:
        return Framed(state="late")
    if before.endswith(start) and output.endswith(end):
        output, stderr = output[: -len(end)], start + end
    errors = _between(stderr, start, end)
    status = _status(code, newline)
    if errors is None or status is None or any(word in output for word in (mark + b">", end)):
        return Framed(state="cut")
    return Framed(state="done", status=status, stdout=output, stderr=errors)


def _status(code: bytes, newline: bytes) -> int | None:
    """Return the exit code in a mark; None if the mark is damaged."""
    digits = code.removesuffix(newline)
    known = code.endswith(newline) and digits in {str(number).encode() for number in range(256)}
    return int(digits) if known else None


def _between(stream: bytes, start: bytes, end: bytes) -> bytes | None:
    """Return the bytes between two marks; None if one is missing or occurs twice."""
    _, first, rest = stream.partition(start)
    body, last, _ = rest.rpartition(end)
    return body if first and last and start not in body and end not in body else None
