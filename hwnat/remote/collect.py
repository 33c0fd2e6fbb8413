"""What a device has to say while it carries out a block: its results, each with its hash."""

import hashlib
import re
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hwnat.errors import DeviceError, TransientDeviceError
from hwnat.transport.base import Transport
from hwnat.transport.shell import script
from hwnat.transport.words import printable

#: The job of a visit, and SHA-256 or MD5 of the file.
_NAME: Final = re.compile(r"([0-9a-f]{24})\.([0-9a-f]{64}|[0-9a-f]{32})", re.ASCII)
_HEAD: Final = re.compile(
    r"boot=(.{0,80})\nup=(\d{0,12})\nlives=(yes|no)\nstatus=([a-z]{0,12})\nfree=(\d{0,15})\n"
)
_POLL_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A result on the device.

    Attributes:
        name: of its file there; `job` is a part of it.
        text: what it holds, as its hash says; None if that could not be had.
    """

    name: str
    text: str | None

    @property
    def job(self) -> str:
        """Name of the visit."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A device at one look.

    Attributes:
        boot: name of its run since it was switched on; empty if it does not tell.
        up_s: since then.
        lives: whether the driver of the block runs.
        status: how the block ended: done, stopped, late, full or failing; empty if it has not
            ended by itself.
        free_kib: of its disk; None while the driver runs, or if it does not tell.
        files: results.
        more: whether it has further ones.
    """

    boot: str
    up_s: int | None
    lives: bool
    status: str
    free_kib: int | None
    files: tuple[File, ...]
    more: bool


def look(link: Transport, folder: str, *, token: str, done: Sequence[str] = ()) -> Seen:
    """Ask once for all that is new.

    Args:
        link: to the device.
        folder: of the setup, on the device.
        token: of the block.
        done: names of results that are kept here and may go there.

    Raises:
        DeviceError: the link was lost, or what came back is garbage.
    """
    mark = f"hwnat-{secrets.token_hex(16)}"
    argv = script("remote/poll", *done, dir=folder, mark=mark, token=token)
    text = link.run(argv, timeout_s=_POLL_S).check().stdout
    head, *pieces = text.split(f"\n{mark} ")
    found = _HEAD.fullmatch(head + "\n" if not head.endswith("\n") else head)
    if found is None or not pieces or pieces[-1] != "end\n":
        msg = f"The device does not say what its block does, but: {printable(text, limit=200)}. "
        raise DeviceError(msg + "Run the same command again.")
    files = []
    for piece in pieces[:-1]:
        words, _, body = piece.partition("\n")
        name = _NAME.fullmatch(words.removeprefix("file "))
        if name is not None:
            files.append(File(name=name[0], text=_checked(body, name[2])))
    boot, up, lives, status, free = found.groups()
    return Seen(
        boot=boot,
        up_s=int(up) if up else None,
        lives=lives == "yes",
        status=status,
        free_kib=int(free) if free else None,
        files=tuple(
            each if each.text is not None else _again(link, folder, each) for each in files
        ),
        more=any(piece == "more" or piece.startswith("more\n") for piece in pieces),
    )


def _again(link: Transport, folder: str, file: File) -> File:
    """Fetch a result by itself whose text does not have its hash."""
    digest = file.name.partition(".")[2]
    with tempfile.TemporaryDirectory(prefix="hwnat-") as here:
        path = Path(here) / "result"
        try:
            link.pull(f"{folder}/results/{file.name}", path)
        except TransientDeviceError:
            raise
        except DeviceError:
            return file
        return File(name=file.name, text=_checked(path.read_bytes(), digest))


def _checked(content: str | bytes, digest: str) -> str | None:
    """Return a text if it has this hash; None if it has another."""
    raw = content.encode() if isinstance(content, str) else content
    kind = "sha256" if len(digest) == 64 else "md5"
    if hashlib.new(kind, raw, usedforsecurity=False).hexdigest() != digest:
        return None
    return raw.decode("utf-8", "replace")
