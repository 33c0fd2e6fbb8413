"""What a program or library is made for, as its ELF header says, before it is sent anywhere."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from hwnat.errors import DataError

#: Number in the header -> name.
_MACHINES: Final = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "riscv64"}
#: What `uname -m` says, by its beginning -> name.
_UNAMES: Final = (
    ("aarch64", "aarch64"),
    ("arm64", "aarch64"),
    ("arm", "arm"),
    ("x86_64", "x86-64"),
    ("amd64", "x86-64"),
    ("i686", "x86"),
    ("i386", "x86"),
    ("riscv64", "riscv64"),
)
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5
#: Of one of these parts; real ones have some hundred bytes.
_MOST_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """One file.

    Attributes:
        machine: aarch64, arm, x86-64, x86, riscv64, or `machine N`.
        interpreter: path of what loads it on the device; None for a library or a static program.
        needed: names of the libraries that it asks for.
    """

    machine: str
    interpreter: str | None
    needed: tuple[str, ...]

    @property
    def libc(self) -> Literal["glibc", "Android's"] | None:
        """Whose C library it was built for; None if it does not show."""
        if "libc.so.6" in self.needed or "/ld-linux" in (self.interpreter or ""):
            return "glibc"
        if "libc.so" in self.needed or (self.interpreter or "").startswith("/system/"):
            return "Android's"
        return None


def machine_name(uname: str) -> str:
    """Return the name that `Elf.machine` has for what `uname -m` says.

    >>> machine_name("armv7l"), machine_name("aarch64"), machine_name("mips")
    ('arm', 'aarch64', 'mips')
    """
    return next((name for head, name in _UNAMES if uname.startswith(head)), uname)


def read_elf(content: bytes, *, where: str) -> Elf:
    """Read a whole file.

    Raises:
        DataError: it is no program and no library, or is cut off.
    """
    try:
        return _read(content)
    except (struct.error, UnicodeDecodeError, ValueError) as problem:
        msg = f"{where} is no program or library for Linux or Android: {problem}. Name another."
        raise DataError(msg) from problem


def _read(content: bytes) -> Elf:
    if content[:6] not in {b"\x7fELF\x01\x01", b"\x7fELF\x02\x01"}:
        msg = "it has no ELF header of a little-endian processor"
        raise ValueError(msg)
    wide = content[4] == 2
    (machine,) = struct.unpack_from("<H", content, 18)
    parts = list(_parts(content, wide=wide))
    interpreter = next(
        (_bytes(content, at, size) for kind, at, _, size in parts if kind == _PT_INTERP), None
    )
    return Elf(
        machine=_MACHINES.get(machine, f"machine {machine}"),
        interpreter=None if interpreter is None else interpreter.rstrip(b"\0").decode(),
        needed=tuple(_needed(content, parts, wide=wide)),
    )


def _parts(content: bytes, *, wide: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, place in the file, address and size of each program header."""
    (start,) = struct.unpack_from("<Q" if wide else "<I", content, 32 if wide else 28)
    size, count = struct.unpack_from("<HH", content, 54 if wide else 42)
    for index in range(count):
        at = min(start + index * size, len(content))
        if wide:
            kind, _, place, address, _, length = struct.unpack_from("<IIQQQQ", content, at)
        else:
            kind, place, address, _, length = struct.unpack_from("<IIIII", content, at)
        yield kind, place, address, length


def _needed(content: bytes, parts: list[tuple[int, int, int, int]], *, wide: bool) -> Iterator[str]:
    """Yield the names of the libraries that the dynamic section asks for."""
    step, form = (16, "<qQ") if wide else (8, "<iI")
    for kind, place, _, length in parts:
        if kind != _PT_DYNAMIC:
            continue
        pairs = list(struct.iter_unpack(form, _bytes(content, place, length - length % step)))
        tables = [value for tag, value in pairs if tag == _DT_STRTAB]
        names = _place(parts, tables[0]) if tables else 0
        for tag, value in pairs:
            if tag == _DT_NEEDED:
                at = names + value
                yield content[at : content.index(b"\0", at)].decode()


def _place(parts: list[tuple[int, int, int, int]], address: int) -> int:
    """Return where in the file what is loaded to an address lies."""
    for kind, place, start, length in parts:
        if kind == _PT_LOAD and start <= address < start + length:
            return address - start + place
    msg = "its names lie outside of the file"
    raise ValueError(msg)


def _bytes(content: bytes, at: int, size: int) -> bytes:
    found = content[at : at + size]
    if len(found) != size or size > _MOST_BYTES:
        msg = "it is cut off"
        raise ValueError(msg)
    return found
