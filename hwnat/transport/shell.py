"""Shell programs for devices, files of `hwnat/*/scripts/`, and what their answers mean.

Each file is a constant: nothing that a device printed, and no name, is ever part of it. They need a
POSIX shell and the usual small programs, which toybox, BusyBox and GNU have. A script names its
arguments in its first line, `folder=$1 token=$2`, and includes another by `. other.sh`.
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

#: The most that a command may print, both streams together; an endless one must not fill memory.
OUTPUT_BYTES: Final = 64 << 20

# How a script of this folder ends; a shell and its utilities use other numbers.
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

#: Words in an error of a device -> what they mean and what to do.
_CAUSES: Final = (
    ("no space left", "its disk is full; delete files there"),
    # So a shell of a board says it that has no words for it.
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
    """Return a script with those that it includes, without comments.

    Args:
        name: folder of the package and file, such as `remote/start`.
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
        name: as for `program`.
        rest: words after those that the script names.
        words: its arguments, by the names in its first line.

    Raises:
        TypeError: these are not the script's arguments.
    """
    text = program(name)
    names = _NAMED.findall(text.partition("\n")[0])
    if set(names) != set(words):
        msg = f"Script {name} takes {names}, not {sorted(words)}."
        raise TypeError(msg)
    return ["sh", "-c", text, "sh", *(words[key] for key in names), *rest]


def refused(what: str, printed: str) -> DeviceError:
    """Return the error for something a device would not do, with cause and next step."""
    quoted = printable(printed, limit=200) or "nothing"
    cause = next((means for words, means in _CAUSES if words in printed.lower()), None)
    step = "ask it with: hwnat device doctor" if cause is None else "or set another workdir for it"
    return DeviceError(f"{what}: {cause or 'it does not say why'}, {step}. It printed: {quoted}")


def described(printed: str) -> tuple[Literal["sha256", "md5"], int, str] | None:
    """Return hash, size in bytes and digest of what `before_pull.sh` printed; None for garbage."""
    match = _DESCRIBED.fullmatch(printed)
    if match is None:
        return None
    kind = cast('Literal["sha256", "md5"]', match[1])
    return kind, int(match[2]), match[3]


def probe(run: Run, workdir: str, *, address: str, client: str | None) -> Probe:
    """Make the working folder of a device and ask what can be done there.

    Raises:
        DeviceError: the device does not answer, or the folder cannot be made.
    """
    folder = device_path(workdir.rstrip("/") or "/.")
    done = run(script("transport/probe", folder=folder, word=secrets.token_hex(8)), timeout_s=20)
    if done.returncode == NOT_OURS:
        msg = (
            f"The folder {printable(workdir)} of {address} holds files and was not made by hwnat, "
            "which deletes what is in its folder. Set another `workdir` in the device file; or, if "
            f"everything in it may go, run on the device: touch {printable(workdir)}/{MARK}"
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
