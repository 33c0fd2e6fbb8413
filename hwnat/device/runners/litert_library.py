"""A user's libLiteRt.so, alone or in the wheel, AAR or zip that contains it."""

import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from hwnat.device.runners.elf import Elf, read_elf
from hwnat.errors import DataError, UsageError

#: File name of a library -> name under which the program loads it, in order of preference.
#: Android archives of TensorFlow Lite have the C API in the library for Java.
_NAMES: Final = {
    "libLiteRt.so": "libLiteRt.so",
    "libtensorflowlite_c.so": "libtensorflowlite_c.so",
    "libtensorflowlite_jni.so": "libtensorflowlite_c.so",
}
#: Size limit for a library, and for all libraries in an archive; real ones have 20 MiB.
_MOST_BYTES: Final = 256 << 20
#: Size limit for an archive's list of files, and for any other single read.
_MOST_READ: Final = 4 << 20
_PIECE: Final = 1 << 20
#: Errors that zipfile raises for damaged archives.
_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError),
    *(RuntimeError, ValueError, OverflowError),
)
_AAR_VERSION: Final = re.compile(r"-(\d+(?:\.\d+){1,3}[\w.-]{0,16})\.(?:aar|zip)$", re.ASCII)
_WHEEL_VERSION: Final = re.compile(r"^Version: (\d[\w.+]{0,38})\s*$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library for one device.

    Attributes:
        name: its file name on the device.
        version: version of its package; without a package, the first digits of its SHA-256.
    """

    name: str
    version: str
    content: bytes
    elf: Elf


class _ArchiveFile(io.FileIO):
    """A file that refuses large reads, so that a long list of files cannot exhaust the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        limited = _MOST_READ + 1 if size is None or size < 0 else size
        content = super().read(limited) if limited <= _MOST_READ + 1 else None
        if content is None or len(content) > _MOST_READ:
            msg = f"its list of files is larger than {_MOST_READ >> 20} MiB"
            raise zipfile.BadZipFile(msg)
        return content


def find_library(path: Path, *, machine: str | None, device: str) -> Library:
    """Return the library in a file that is built for a device.

    Args:
        path: the library, or an archive that contains it.
        machine: the device's processor, as in `Elf.machine`; None if the device does not report it.
        device: name for messages.

    Raises:
        UsageError: the file does not exist, or contains no library for the device.
        DataError: the file is damaged.
    """
    machines = set()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            msg = f"{path} is not a regular file; choose a libLiteRt.so."
            raise UsageError(msg)
        for name, content, version in _libraries(path):
            elf = read_elf(content, where=str(path))
            if machine in (None, elf.machine):
                known = version or f"sha256-{hashlib.sha256(content).hexdigest()[:12]}"
                return Library(name=name, version=known, content=content, elf=elf)
            machines.add(elf.machine)
    except OSError as problem:
        msg = f"Cannot read {path}: {problem.strerror}. Choose a libLiteRt.so or its archive."
        raise UsageError(msg) from problem
    except _DAMAGE as problem:
        msg = f"{path} is a damaged archive ({problem!s:.200}); download it again."
        raise DataError(msg) from problem
    names = ", ".join(sorted(machines))
    msg = f"{path} is for {names}, {device} is {machine}. Download the one for {machine}."
    raise UsageError(msg)


def _libraries(path: Path) -> Iterator[tuple[str, bytes, str | None]]:
    """Yield (name on the device, content, version) of each library in a file.

    Only one library is in memory at a time.
    """
    with _ArchiveFile(path) as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                version = _version(archive, path)
                for name, entry in _entries(archive, path):
                    yield name, _content(archive, entry), version
            return
    size = path.stat().st_size
    if size > _MOST_BYTES:
        msg = (
            f"{path} is larger than {_MOST_BYTES >> 20} MiB, the limit for a library; choose a "
            "libLiteRt.so."
        )
        raise UsageError(msg)
    yield _NAMES.get(path.name, "libLiteRt.so"), path.read_bytes(), None


def _entries(archive: zipfile.ZipFile, path: Path) -> list[tuple[str, zipfile.ZipInfo]]:
    """Return (name on the device, entry) of each library, in order of preference."""
    entries = [
        (_NAMES[wanted], entry)
        for wanted in _NAMES
        for entry in archive.infolist()
        if PurePosixPath(entry.filename).name == wanted
    ]
    if not entries:
        msg = (
            f"{path} contains no libLiteRt.so. Use the wheel of ai-edge-litert for the device, or "
            "the AAR of litert."
        )
        raise UsageError(msg)
    if sum(entry.file_size for _, entry in entries) > _MOST_BYTES:
        msg = (
            f"The libraries in {path} take more than {_MOST_BYTES >> 20} MiB, the limit; it is "
            "damaged. Download it again."
        )
        raise DataError(msg)
    return entries


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Unpack an entry, at most to the size that the archive states."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        msg = f"{entry.filename!r:.80} is neither stored nor deflated"
        raise zipfile.BadZipFile(msg)
    with archive.open(entry) as file:
        return b"".join(iter(lambda: file.read(_PIECE), b""))


def _version(archive: zipfile.ZipFile, path: Path) -> str | None:
    """Return the version of the package in an archive; None if it has no package."""
    for entry in archive.infolist():
        if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry.filename) and entry.file_size < _PIECE:
            match = _WHEEL_VERSION.search(_content(archive, entry).decode("utf-8", "replace"))
            return match[1] if match else None
    match = _AAR_VERSION.search(path.name)
    return match[1] if match else None
