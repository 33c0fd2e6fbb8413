"""Read from an ELF header which processor and C library a file was built for."""

import io
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from hwnat.errors import DataError

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

#: Processor name in the header -> name here.
_MACHINES: Final = {
    "EM_386": "x86",
    "EM_ARM": "arm",
    "EM_X86_64": "x86-64",
    "EM_AARCH64": "aarch64",
    "EM_RISCV": "riscv64",
}
#: Prefix of the output of `uname -m` -> name here.
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
#: Headers of real libraries need a few thousand reads; a damaged count would need billions.
_MOST_READS: Final = 100_000
_MOST_BYTES: Final = 8 << 20
#: Errors that pyelftools raises for damaged files, besides its own.
_DAMAGE: Final = (
    *(AssertionError, AttributeError, LookupError, MemoryError, OverflowError, TypeError),
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """The headers of one file.

    Attributes:
        machine: aarch64, arm, x86-64, x86, riscv64 or another processor's name.
        interpreter: path of the loader on the device; None for a library or a static program.
        needed: names of the libraries that the file loads.
    """

    machine: str
    interpreter: str | None
    needed: tuple[str, ...]

    @property
    def libc(self) -> Literal["glibc", "Android's"] | None:
        """The C library that the file was built for; None if the headers do not show it."""
        if "libc.so.6" in self.needed or "/ld-linux" in (self.interpreter or ""):
            return "glibc"
        if "libc.so" in self.needed or (self.interpreter or "").startswith("/system/"):
            return "Android's"
        return None


def machine_name(uname: str) -> str:
    """Return the value of `Elf.machine` for an output of `uname -m`.

    >>> machine_name("armv7l"), machine_name("aarch64"), machine_name("mips")
    ('arm', 'aarch64', 'mips')
    """
    return next((name for head, name in _UNAMES if uname.startswith(head)), uname)


class _BoundedStream(io.BytesIO):
    """A file that limits how many reads it serves."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._reads_left, self._bytes_left = _MOST_READS, _MOST_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._reads_left -= 1
        self._bytes_left -= len(content)
        if min(self._reads_left, self._bytes_left) < 0:
            msg = f"its headers need over {_MOST_READS:,} reads or {_MOST_BYTES:,} bytes"
            raise ValueError(msg)
        return content


def read_elf(content: bytes, *, where: str) -> Elf:
    """Read the headers of a whole file.

    Raises:
        DataError: it is cut off, or not a program or library for a little-endian processor.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        return _read(ELFFile(_BoundedStream(content)))
    except (ELFError, ConstructError, *_DAMAGE) as problem:
        reason = str(problem).strip().split("\n")[0] or type(problem).__name__
        msg = (
            f"{where} is not a program or library for Linux or Android, or is damaged: "
            f"{reason:.200}. Choose another file."
        )
        raise DataError(msg) from problem


def _read(file: "ELFFile") -> Elf:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.segments import InterpSegment

    if not file.little_endian:
        msg = "it is for a big-endian processor"
        raise ValueError(msg)
    machine = file["e_machine"]
    named = str(machine).removeprefix("EM_").lower() if isinstance(machine, str) else None
    segments = list(file.iter_segments())
    interpreters = [part.get_interp_name() for part in segments if isinstance(part, InterpSegment)]
    tags = chain.from_iterable(
        part.iter_tags() for part in segments if isinstance(part, DynamicSegment)
    )
    # Only tags of this kind have the attribute.
    needed = tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")  # type: ignore[attr-defined]
    return Elf(
        machine=_MACHINES.get(machine) or named or f"machine {machine}",
        interpreter=interpreters[0] if interpreters else None,
        needed=needed,
    )
