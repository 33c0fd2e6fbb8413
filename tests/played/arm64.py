"""Where the parts of a device with another processor are, which `fetch.sh` fetches."""

import shutil
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache/hwnat-ci"
#: What to say where one is missing.
FETCH = "tests/played/fetch.sh fetches it where Debian's packages and PyPI are reached"


@dataclass(frozen=True)
class Arm64:
    """Debian for arm64, with the emulator that runs its programs.

    Attributes:
        root: its `usr` has the programs and libraries.
        emulator: a program of this machine that needs no libraries.
    """

    root: Path
    emulator: Path

    @property
    def programs(self) -> dict[str, str]:
        """Return the program of each name that a device has; toybox is Android's."""
        found = {}
        for program in ("busybox", "toybox"):
            names = (self.root / program).read_text().split()
            found |= dict.fromkeys(names, f"/usr/bin/{program}")
        return found | {"sh": "/usr/bin/mksh"}


def find_arm64() -> Arm64 | None:
    """Return the system and its emulator; None if it was not fetched."""
    found = Arm64(root=CACHE / "arm64-1/root", emulator=CACHE / "arm64-1/qemu-aarch64")
    return found if found.root.is_dir() and found.emulator.is_file() else None


def find_litert_arm64() -> Path | None:
    """Return LiteRT's library for arm64; None if it was not fetched."""
    path = CACHE / "litert-2.3.0-arm64/libLiteRt.so"
    return path if path.is_file() else None


def find_cross_compiler() -> str | None:
    """Return the C compiler for arm64; None if it is not installed with its C library."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    headers = Path("/usr/aarch64-linux-gnu/include/stdio.h")
    return compiler if headers.is_file() else None
