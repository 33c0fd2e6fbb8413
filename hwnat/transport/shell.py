"""Shell scripts for devices, from `hwnat/*/scripts/`, and the meaning of their output.

A script is a constant: no name and no output of a device is ever inserted into it. Scripts need a
POSIX shell and common programs that toybox, BusyBox and GNU have. A script names its arguments in
its first line, as in `folder=$1 token=$2`, and includes another script with `. other.sh`.
"""

import posixpath
import re
import secrets
from functools import cache
from importlib.resources import files
from typing import Final, Literal, Protocol, cast

from hwnat.errors import DeviceError, UsageError
from hwnat.transport.base import Completed, Probe
from hwnat.transport.words import device_path, printable

#: Limit on the output of a command, both streams together, so that it cannot fill the memory.
OUTPUT_BYTES: Final = 64 << 20

# Exit statuses of the scripts of this folder; shells and their utilities use other numbers.
SAME: Final = 40
IS_FOLDER: Final = 41
NO_FOLDER: Final = 42
NO_HASH: Final = 43
DAMAGED: Final = 44
NO_FILE: Final = 45
NOT_OURS: Final = 46

#: This file marks a working folder as hwnat's.
MARK: Final = ".hwnat"
_INCLUDED: Final = re.compile(r"^ *\. ([a-z_./]+\.sh)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^ *#.*\n", re.MULTILINE)
_NAMED: Final = re.compile(r"([a-z0-9_]+)=\$[1-9](?: |$)")
_DESCRIBED: Final = re.compile(r"(sha256|md5) (\d{1,15}) ([0-9a-f]{64}|[0-9a-f]{32})\n")

#: Words in an error message of a device -> cause and remedy.
_CAUSES: Final = (
    ("no space left", "its disk is full; delete files there"),
    # Some shells of boards print this when the disk is full.
    ("i/o error", "its disk is full or broken; delete files there"),
    ("quota exceeded", "its disk quota is used up; delete files there"),
    ("file too large", "it takes no file of this size"),
    ("read-only file system", "the folder cannot be written"),
    ("permission denied", "its user may not do this"),
    ("operation not permitted", "its user may not do this"),
    ("not a directory", "a file is in the way of a folder"),
    ("file name too long", "the name is too long for it"),
    ("no such file", "the folder is gone"),
)


class Run(Protocol):
    """The method `run` of a transport."""

    def __call__(self, argv: list[str], *, timeout_s: float) -> Completed:
        """Run a command."""
        ...


@cache
def program(name: str) -> str:
    """Return the text of a script and of the scripts that it includes, without comments.

    Args:
        name: folder in the package and name of the script, such as `remote/start`.
    """
    path = f"{posixpath.dirname(name)}/scripts/{posixpath.basename(name)}"
    return _text(f"{path}.sh")


def _text(path: str) -> str:
    text = (files("hwnat") / path).read_text("utf-8")
    folder = posixpath.dirname(path)
    return _INCLUDED.sub(
        lambda line: _text(posixpath.normpath(posixpath.join(folder, line[1]))),
        _COMMENT.sub("", text),
    )


def script(name: str, *rest: str, **words: str) -> list[str]:
    """Return the command that runs a script.

    Args:
        name: see `program`.
        rest: further arguments, which the first line of the script does not name.
        words: arguments by the names in the first line of the script.

    Raises:
        TypeError: the script has arguments with other names.
    """
    text = program(name)
    names = _NAMED.findall(text.partition("\n")[0])
    if set(names) != set(words):
        msg = f"Script {name} takes {names}, not {sorted(words)}."
        raise TypeError(msg)
    return ["sh", "-c", text, "sh", *(words[key] for key in names), *rest]


def refused(what: str, printed: str) -> DeviceError:
    """Return the error for an action that a device refused, with cause and next step."""
    quoted = printable(printed, limit=200) or "nothing"
    cause = next((means for words, means in _CAUSES if words in printed.lower()), None)
    step = "check it with: hwnat device doctor" if cause is None else "or set another workdir"
    return DeviceError(f"{what}: {cause or 'it does not say why'}, {step}. It printed: {quoted}")


def described(printed: str) -> tuple[Literal["sha256", "md5"], int, str] | None:
    """Parse the output of `before_pull.sh`: hash, size in bytes and digest; None if damaged."""
    match = _DESCRIBED.fullmatch(printed)
    if match is None:
        return None
    kind = cast('Literal["sha256", "md5"]', match[1])
    return kind, int(match[2]), match[3]


def probe(run: Run, workdir: str, *, address: str, client: str | None) -> Probe:
    """Create the working folder of a device and report what it allows.

    Raises:
        DeviceError: the device does not answer, or the folder cannot be created.
        UsageError: the folder holds files and was not created by hwnat.
    """
    folder = device_path(workdir.rstrip("/") or "/.")
    done = run(script("transport/probe", folder=folder, word=secrets.token_hex(8)), timeout_s=20)
    if done.returncode == NOT_OURS:
        msg = (
            f"The folder {printable(workdir)} of {address} holds files and was not made by hwnat, "
            "which deletes files in its folder. Set another `workdir` in the device file; or, if "
            f"all of them may be deleted, run on the device: touch {printable(workdir)}/{MARK}"
        )
        raise UsageError(msg)
    if done.returncode:
        what = f"Cannot work in {printable(workdir)} of {address}"
        raise refused(what, done.stderr)
    facts = dict(re.findall(r"^(\w+)=(\d{1,15})$", done.stdout, re.MULTILINE))
    hashes: tuple[Literal["sha256", "md5"], ...] = ("sha256", "md5")
    free = facts.get("free")
    return Probe(
        address=address,
        client=client,
        workdir=workdir,
        executable=facts.get("executable") not in {None, "126"},
        hash=next((kind for kind in hashes if f"{kind}sum" in facts), None),
        time_limit="timeout" in facts,
        free_bytes=None if free is None else int(free) * 1024,
    )
