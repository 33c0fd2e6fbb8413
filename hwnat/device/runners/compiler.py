"""The program of `runner.c`, made for a device by a compiler of this machine."""

import hashlib
import os
import platform
import shlex
import shutil
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from hwnat.device.runners.elf import machine_name
from hwnat.errors import DeviceError, UsageError
from hwnat.transport.local import LocalTransport
from hwnat.transport.words import printable

#: Machine -> (compiler, Debian's package that has it, the NDK's name for the machine).
_COMPILERS: Final = {
    "aarch64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "aarch64-linux-android"),
    "arm": ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf", "armv7a-linux-androideabi"),
    "x86-64": ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu", "x86_64-linux-android"),
    "x86": ("i686-linux-gnu-gcc", "gcc-i686-linux-gnu", "i686-linux-android"),
    "riscv64": ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu", "riscv64-linux-android"),
}
#: What the program is made of.
_SOURCES: Final = ("runner.c", "runner_model.h")
#: The oldest system that a program for Android is made for; LiteRT needs no later one.
_ANDROID: Final = 26
#: The oldest that the NDK makes 64-bit programs for.
_FIRST: Final = 21


def compiler_words(
    named: str | None,
    *,
    machine: str | None,
    api: int | None,
    device: str,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the command that compiles for a device.

    Args:
        named: by the user, perhaps with options; None takes the usual one.
        machine: of the device, as `Elf.machine` names it; None if it does not tell.
        api: level of its Android; None is not Android.
        device: named in messages.
        environment: None for this process's.

    Raises:
        UsageError: it is not there; the message says what to install.
    """
    surroundings = os.environ if environment is None else environment
    if named is not None:
        words = shlex.split(named)
        if not words or shutil.which(words[0], path=surroundings.get("PATH")) is None:
            msg = f"No compiler '{named}' on this machine; name another with --compiler."
            raise UsageError(msg)
        return words
    here = machine_name(platform.machine())
    known = _COMPILERS.get(machine or here)
    if known is None:
        msg = f"{device} is {machine}, for which no compiler is known; name one with --compiler."
        raise UsageError(msg)
    cross, package, target = known
    if api is not None:
        return [_ndk(device, target, api, surroundings.get("ANDROID_NDK_HOME"))]
    usual, package = ("cc", "gcc") if machine in (None, here) else (cross, package)
    if shutil.which(usual, path=surroundings.get("PATH")) is None:
        msg = (
            f"The program '{usual}', which compiles for {device}, is not on PATH; install it "
            f"with: apt-get install {package}, or name another with --compiler."
        )
        raise UsageError(msg)
    return [usual]


def _ndk(device: str, target: str, api: int, folder: str | None) -> str:
    """Return the compiler of Android's NDK for a phone."""
    name = f"{target}{max(_FIRST, min(_ANDROID, api))}-clang"
    if folder:
        found = sorted(Path(folder).glob(f"toolchains/llvm/prebuilt/*/bin/{name}"))
        if found:
            return str(found[0])
    msg = (
        f"{device} runs Android: the program for it is compiled by Android's NDK. Install that "
        "(developer.android.com/ndk/downloads) and set ANDROID_NDK_HOME to its folder, or name "
        f"its {name} with --compiler."
    )
    raise UsageError(msg)


def source_id(*names: str) -> str:
    """Return twelve hexadecimal digits that tell versions of a program for devices apart.

    Args:
        names: of its files in this package; none takes those of `runner.c`.
    """
    folder = files("hwnat.device.runners")
    text = b"".join((folder / each).read_bytes() for each in names or _SOURCES)
    return hashlib.sha256(text).hexdigest()[:12]


def compile_program(program: Path, compiler: list[str]) -> None:
    """Compile `runner.c`.

    Raises:
        DeviceError: the compiler fails.
    """
    with as_file(files("hwnat.device.runners")) as folder:
        options = ["-std=c99", "-O2", f'-DHWNAT_SOURCE="{source_id()}"', "-o", str(program)]
        argv = [*compiler, *options, str(folder / "runner.c"), "-ldl"]
        done = LocalTransport().run(argv, timeout_s=300)
    if done.returncode:
        tail = printable(done.stderr, limit=300) or "nothing"
        msg = (
            f"The compiler '{shlex.join(compiler)}' does not make {program.name}; it printed: "
            f"{tail}. Name another with --compiler."
        )
        raise DeviceError(msg)
