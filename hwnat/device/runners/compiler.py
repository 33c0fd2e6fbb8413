"""Compile `runner.c` for a device with a compiler on this machine."""

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

#: Machine -> (compiler, Debian package of the compiler, the NDK's name for the machine).
_COMPILERS: Final = {
    "aarch64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "aarch64-linux-android"),
    "arm": ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf", "armv7a-linux-androideabi"),
    "x86-64": ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu", "x86_64-linux-android"),
    "x86": ("i686-linux-gnu-gcc", "gcc-i686-linux-gnu", "i686-linux-android"),
    "riscv64": ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu", "riscv64-linux-android"),
}
#: Source files of the program.
_SOURCES: Final = ("runner.c", "runner_model.h")
#: API level for Android programs, unless the device has an older one.
_ANDROID: Final = 26
#: Lowest API level for 64-bit programs in the NDK.
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
        named: the user's command, possibly with options; None for the default compiler.
        machine: the device's processor, as in `Elf.machine`; None if the device does not report it.
        api: Android API level; None if the device does not run Android.
        device: name for messages.
        environment: environment variables; None for those of this process.

    Raises:
        UsageError: the compiler is not installed; the message says what to install.
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
            f"The compiler '{usual}' for {device} is not on PATH. Install it "
            f"with: apt-get install {package}, or choose another with --compiler."
        )
        raise UsageError(msg)
    return [usual]


def _ndk(device: str, target: str, api: int, folder: str | None) -> str:
    """Return the path of the NDK's compiler for a phone."""
    name = f"{target}{max(_FIRST, min(_ANDROID, api))}-clang"
    if folder:
        programs = sorted(Path(folder).glob(f"toolchains/llvm/prebuilt/*/bin/{name}"))
        if programs:
            return str(programs[0])
    msg = (
        f"{device} runs Android: its program is compiled with Android's NDK. Install the NDK "
        "(developer.android.com/ndk/downloads) and set ANDROID_NDK_HOME to its folder, or choose "
        f"its {name} with --compiler."
    )
    raise UsageError(msg)


def source_id(*names: str) -> str:
    """Return twelve hexadecimal digits that identify the source of a device program.

    Args:
        names: its files in this package; without names, those of `runner.c`.
    """
    folder = files("hwnat.device.runners")
    text = b"".join((folder / name).read_bytes() for name in names or _SOURCES)
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
            f"The compiler '{shlex.join(compiler)}' cannot compile {program.name}; it printed: "
            f"{tail}. Choose another with --compiler."
        )
        raise DeviceError(msg)
