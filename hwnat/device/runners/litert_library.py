"""A user's libLiteRt.so: alone, or in the wheel, AAR or zip that it comes in."""

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from hwnat.device.runners.elf import Elf, read_elf
from hwnat.errors import DataError, UsageError

#: Name of a library's file -> what the program finds it by; the preferred one first. Android's
#: archives of TensorFlow Lite have its C interface in the library for Java.
_NAMES: Final = {
    "libLiteRt.so": "libLiteRt.so",
    "libtensorflowlite_c.so": "libtensorflowlite_c.so",
    "libtensorflowlite_jni.so": "libtensorflowlite_c.so",
}
_MOST_BYTES: Final = 256 << 20
_AAR_VERSION: Final = re.compile(r"-(\d+(?:\.\d+){1,3}[\w.-]{0,16})\.(?:aar|zip)$", re.ASCII)
_WHEEL_VERSION: Final = re.compile(r"^Version: (\d[\w.+]{0,38})\s*$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library for one device.

    Attributes:
        name: what its file is called there.
        version: of the package that it came in; without one, the beginning of its SHA-256.
    """

    name: str
    version: str
    content: bytes
    elf: Elf


def find_library(path: Path, *, machine: str | None, device: str) -> Library:
    """Return the library of a file that is made for a device.

    Args:
        path: the library, or an archive that holds it.
        machine: of the device, as `Elf.machine` names it; None if it does not tell.
        device: named in messages.

    Raises:
        UsageError: the file is not there, or has none for the device.
        DataError: it is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                held, version = _held(archive, path), _version(archive, path)
        else:
            size = path.stat().st_size
            if size > _MOST_BYTES:
                msg = f"{path} is larger than {_MOST_BYTES >> 20} MiB; name a libLiteRt.so."
                raise UsageError(msg)
            held, version = [(_NAMES.get(path.name, "libLiteRt.so"), path.read_bytes())], None
    except OSError as problem:
        msg = f"Cannot read {path}: {problem.strerror}; name a libLiteRt.so, or what holds one."
        raise UsageError(msg) from problem
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as problem:
        msg = f"{path} is a damaged archive ({problem}); fetch it again."
        raise DataError(msg) from problem
    found = [(name, read_elf(content, where=str(path)), content) for name, content in held]
    for name, elf, content in found:
        if machine in (None, elf.machine):
            known = version or f"sha256-{hashlib.sha256(content).hexdigest()[:12]}"
            return Library(name=name, version=known, content=content, elf=elf)
    machines = ", ".join(sorted({elf.machine for _, elf, _ in found}))
    msg = f"{path} is for {machines}, {device} is {machine}: fetch the one for {machine}."
    raise UsageError(msg)


def _held(archive: zipfile.ZipFile, path: Path) -> list[tuple[str, bytes]]:
    """Return (name on the device, content) of every library in an archive, preferred ones first."""
    entries = {
        wanted: [each for each in archive.infolist() if PurePosixPath(each.filename).name == wanted]
        for wanted in _NAMES
    }
    if not any(entries.values()):
        msg = f"{path} holds no libLiteRt.so; take the wheel of ai-edge-litert for the device, or "
        raise UsageError(msg + "the AAR of litert.")
    if any(each.file_size > _MOST_BYTES for kind in entries.values() for each in kind):
        msg = f"{path} holds a library larger than {_MOST_BYTES >> 20} MiB; it is damaged."
        raise DataError(msg)
    return [(_NAMES[name], archive.read(each)) for name, kind in entries.items() for each in kind]


def _version(archive: zipfile.ZipFile, path: Path) -> str | None:
    """Return the version of the package that an archive is; None if it does not tell."""
    for entry in archive.infolist():
        if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry.filename) and entry.file_size < 1 << 20:
            found = _WHEEL_VERSION.search(archive.read(entry).decode("utf-8", "replace"))
            return found[1] if found else None
    found = _AAR_VERSION.search(path.name)
    return found[1] if found else None
