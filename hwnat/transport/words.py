"""Makes text from a device safe to print, and paths on a device safe to use."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from hwnat.errors import DeviceError

#: Escape sequences of terminals: CSI, OSC and other strings, two-byte ones.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_SHOWN: Final = 200


def printable(text: str, *, limit: int = 10_000) -> str:
    r"""Return the last `limit` characters of a text in one line, without control characters.

    >>> printable("\x1b[31mred\x1b[0m\nand\tblue\x07")
    'red and blue'
    """
    words = " ".join(_ESCAPES.sub("", text).split())
    return "".join(char for char in words if unicodedata.category(char)[0] != "C")[-limit:]


def shown(argv: Sequence[str]) -> str:
    """Return a command in one line for a message, shortened and without scripts."""
    words = argv if len(argv) == 1 else ["…" if "\n" in word else word for word in argv]
    line = printable(" ".join(words))
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def device_path(path: str) -> str:
    """Return a path on a device in a form that no program mistakes for an option.

    Raises:
        DeviceError: no file can have this path.
    """
    if not path or "\0" in path or path.endswith(("/", "/.", "/..")) or path in {".", ".."}:
        msg = f"'{printable(path)}' is not the path of a file on a device; name the file itself."
        raise DeviceError(msg)
    try:
        path.encode()
    except UnicodeEncodeError as odd:
        msg = f"'{printable(path)}' cannot be sent to a device as UTF-8; rename the file."
        raise DeviceError(msg) from odd
    return path if path.startswith("/") else f"./{path}"
