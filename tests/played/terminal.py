"""A terminal of 80 by 24: a program's screen as a person sees it, while it runs and at its end."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from time import monotonic

COLUMNS, ROWS = 80, 24


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a terminal showed.

    Attributes:
        screens: different screens, in order.
        code: exit code of the program.
    """

    screens: list[str]
    code: int


def watch(argv, *, cwd, code=None, environment=None, timeout_s=600.0):
    """Run `hwnat ARGV` on a terminal and return its screens; the first line is the prompt.

    With `code`, that Python program runs instead.
    """
    import pyte

    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {' '.join(['hwnat', *argv])}\r\n".encode())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    unwanted = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE")
    variables = {name: value for name, value in os.environ.items() if name not in unwanted}
    variables |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})}
    program = ["-m", "hwnat.cli.main"] if code is None else ["-c", code]
    command = [sys.executable, *program, *argv]
    screens, ends = [], monotonic() + timeout_s
    with subprocess.Popen(
        command, cwd=cwd, env=variables, stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        while monotonic() < ends:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                printed = os.read(ours, 65536)
            except OSError:  # Linux's end of file on a terminal
                break
            if not printed:
                break
            stream.feed(printed)
            shown = "\n".join(line.rstrip() for line in screen.display).rstrip() + "\n"
            if not screens or screens[-1] != shown:
                screens.append(shown)
        else:
            child.kill()
        os.close(ours)
    return Seen(screens=screens, code=child.returncode)


def masked(screen):
    """Return a screen without what differs from run to run: numbers, bars and their widths.

    Lines that are equal then become one.
    """
    lines = []
    for line in screen.splitlines():
        line = re.sub(r"[━╸╺]+", "━", line)
        line = re.sub(r"[-+]?\d[\d.,:e+-]*", "N", line)
        line = re.sub(r"\b(N h )?N (s|min|h)\b", "N s", line)
        line = re.sub(r"\s+", " ", line).strip()
        if not lines or lines[-1] != line:
            lines.append(line)
    return "\n".join(lines) + "\n"
