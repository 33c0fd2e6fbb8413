"""Trusted device files, which may name programs and folders.

A device file that you received can name a program on this machine. hwnat follows such a file only
after `hwnat device trust FILE` has recorded the hash of its content in your configuration.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hwnat.errors import DataError, UsageError
from hwnat.records import parse
from hwnat.records.lock import file_lock, run_directory
from hwnat.records.write import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The list of trusted device files.

    Attributes:
        schema: version of the file format.
        devices: SHA-256 of the content of a device file, in hexadecimal -> the path it had.
    """

    schema: int = 1
    devices: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schema != 1:
            msg = f"schema {self.schema}; this hwnat reads 1."
            raise DataError(msg)


def digest(content: bytes) -> str:
    """Return the SHA-256 of the content of a device file, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def is_trusted(content: bytes) -> bool:
    """Return whether this user trusts the device file with this content.

    Raises:
        DataError: the list of trusted device files is damaged.
        UsageError: the list belongs to another user, or others may write to it.
    """
    return digest(content) in _read(trusted_path()).devices


def trust(content: bytes, *, path: Path) -> None:
    """Record the content of a device file as trusted.

    Args:
        content: content of the device file.
        path: path of the device file, for people who read the list.

    Raises:
        DataError: the list is damaged.
        UsageError: the list cannot be written.
    """
    record = trusted_path()
    with file_lock(run_directory() / "trust.lock", what=f"{record}", waiting=lambda _: None):
        known = dict(_read(record).devices)
        known[digest(content)] = str(path.resolve())
        text = json.dumps(asdict(Trusted(devices=known)), indent=1, sort_keys=True)
        write_text(record, text + "\n", mode=0o600)


def trusted_path() -> Path:
    """Return the path of the list: `hwnat/trusted.json` in your configuration folder.

    Source: the XDG Base Directory Specification.

    Raises:
        UsageError: the user has no home folder.
    """
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = named if named.is_absolute() else Path.home() / ".config"
    except RuntimeError as problem:
        msg = "You have no home folder for the configuration; set XDG_CONFIG_HOME to a folder."
        raise UsageError(msg) from problem
    return folder / "hwnat" / "trusted.json"


def _read(path: Path) -> Trusted:
    try:
        status = path.stat()
    except OSError:
        return Trusted()
    if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
        msg = f"{path} can be changed by other users; run: chmod 600 {path}"
        raise UsageError(msg)
    text = parse.read_text(path, what="list of trusted device files")
    return parse.record(Trusted, parse.strict_json(text, where=str(path)), where=str(path))
