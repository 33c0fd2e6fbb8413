"""Install on a device what a runner needs: a program, or our program and a library."""

import posixpath
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hwnat.device.probe import probe_machine
from hwnat.device.runners.base import Runner, get_runner
from hwnat.device.runners.compiler import compile_program, compiler_words
from hwnat.device.runners.elf import Elf, machine_name, read_elf
from hwnat.device.runners.litert import LIBRARIES, PROGRAM
from hwnat.device.runners.litert_library import Library, find_library
from hwnat.errors import DataError, DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.transport.base import Transport
from hwnat.transport.words import device_path, printable

#: Runners whose programs the user supplies.
_BROUGHT: Final = ("litert", "benchmark_model")
#: Real programs have about 10 MB.
_MOST_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Whether a runner works on a device.

    Attributes:
        used: whether the device file selects this runner.
        runtime: name and version; None if the runner does not work.
        version: version of the runner; None if it does not work.
        problem: why it does not work, with the command to fix it; None if it works.
    """

    runner: str
    used: bool
    runtime: str | None = None
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A device that is being set up.

    Attributes:
        machine: description of the device.
        folder: folder for programs on the device.
    """

    spec: DeviceSpec
    link: Transport
    machine: Machine
    folder: str

    @property
    def made_for(self) -> str | None:
        """The processor, as in `Elf.machine`; None if the device does not report it."""
        reported = self.machine.abi or self.machine.host.machine
        return None if reported is None else machine_name(reported)


def tools_folder(workdir: str) -> str:
    """Return the folder for programs inside the working folder of a device."""
    return posixpath.join(workdir, "tools")


def reach(spec: DeviceSpec, link: Transport) -> Place:
    """Check that programs can be installed on a device.

    Raises:
        DeviceError: the device does not answer, or cannot start programs in its working folder.
    """
    probe = link.probe()
    if not probe.executable:
        msg = (
            f"No program starts in {probe.workdir} of {spec.name}: its file system forbids it. "
            "Set another `workdir` in the device file."
        )
        raise DeviceError(msg)
    folder = tools_folder(probe.workdir)
    return Place(spec=spec, link=link, machine=probe_machine(link), folder=folder)


def bring_litert(place: Place, path: Path, *, compiler: str | None) -> Installed:
    """Install LiteRT's library and our program, compiled for the device, and start them.

    Args:
        place: the device.
        path: libLiteRt.so, or a wheel, AAR or zip that contains one for the device.
        compiler: command; None for the default cross compiler on this machine.

    Raises:
        UsageError: the library is for another device, or the compiler is not installed.
        DataError: the file is damaged or not a library.
        DeviceError: the program does not start on the device, or cannot be sent.
    """
    runner, used = _runner(place.spec, "litert"), _is_used(place.spec, "litert")
    library = find_library(path, machine=place.made_for, device=place.spec.name)
    with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
        program = Path(folder) / PROGRAM
        words = compiler_words(
            compiler, machine=place.made_for, api=place.machine.android_api, device=place.spec.name
        )
        compile_program(program, words)
        made = _checked(place, program)
        if made.libc != library.elf.libc and None not in (made.libc, library.elf.libc):
            msg = (
                f"{path} was built for {library.elf.libc} C library, the compiler builds for "
                f"{made.libc}. Choose a file for {place.spec.name}, or another --compiler."
            )
            raise UsageError(msg)
        _send_library(place, library, Path(folder))
        place.link.push(program, _there(place, PROGRAM))
    return _tried(place, runner, used=used)


def bring_benchmark_model(place: Place, path: Path) -> Installed:
    """Install the user's `benchmark_model` and start it; see `bring_litert`."""
    runner, used = _runner(place.spec, "benchmark_model"), _is_used(place.spec, "benchmark_model")
    with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
        copy = Path(folder) / "benchmark_model"
        try:
            if path.stat().st_size > _MOST_BYTES:
                msg = (
                    f"{path} is larger than {_MOST_BYTES >> 20} MiB, the limit for a program. "
                    "Choose the file of benchmark_model."
                )
                raise UsageError(msg)
            shutil.copyfile(path, copy)
        except (OSError, shutil.SpecialFileError) as problem:
            reason = getattr(problem, "strerror", None) or "it is not a regular file"
            msg = f"Cannot read {path}: {reason}. Choose the file of benchmark_model."
            raise UsageError(msg) from problem
        copy.chmod(0o755)  # downloads lose the executable bit
        _checked(place, copy, shown=path)
        place.link.push(copy, _there(place, "benchmark_model"))
    return _tried(place, runner, used=used)


def look(place: Place) -> tuple[Installed, ...]:
    """Check the device's own runner, then the other runners whose programs are installed."""
    own, installed = get_runner(place.spec), [look_own(place)]
    for name in _BROUGHT:
        if name != own.name:
            try:
                installed.append(_tried(place, _runner(place.spec, name), used=False))
            except TransientDeviceError:
                raise
            except (UsageError, DataError, DeviceError):
                continue
    return tuple(installed)


def look_own(place: Place) -> Installed:
    """Check whether the device's own runner works."""
    return _state(place, get_runner(place.spec), used=True)


def _state(place: Place, runner: Runner, *, used: bool) -> Installed:
    try:
        return _tried(place, runner, used=used)
    except TransientDeviceError:
        raise
    except (UsageError, DataError, DeviceError) as problem:
        return Installed(runner=runner.name, used=used, problem=str(problem))


def _tried(place: Place, runner: Runner, *, used: bool) -> Installed:
    runtime, version, program = runner.install(
        place.link, folder=place.folder, machine=place.machine
    )
    return Installed(runner=runner.name, used=used, runtime=f"{runtime} {version}", version=program)


def _runner(spec: DeviceSpec, name: str) -> Runner:
    return get_runner(replace(spec, runner=name))


def _is_used(spec: DeviceSpec, name: str) -> bool:
    return get_runner(spec).name == name


def _there(place: Place, name: str) -> str:
    return device_path(posixpath.join(place.folder, name))


def _checked(place: Place, program: Path, *, shown: Path | None = None) -> Elf:
    """Return the headers of a program.

    Raises:
        UsageError: the program is for another processor, or the device lacks its loader.
    """
    what = f"The program {shown}" if shown else "What the compiler makes"
    elf = read_elf(program.read_bytes(), where=what)
    if place.made_for not in (None, elf.machine):
        msg = (
            f"{what} is for {elf.machine}, {place.spec.name} is {place.made_for}. "
            f"Choose the one for {place.made_for}."
        )
        raise UsageError(msg)
    if elf.interpreter is None:
        return elf
    asked = place.link.run(["test", "-e", elf.interpreter], timeout_s=20)
    if asked.returncode:
        advice = "Take a build for Linux with glibc, or name another --compiler."
        if place.machine.android_api is not None:
            advice = (
                "Android loads programs by /system/bin/linker64: take a build for Android, or "
                "name a compiler of its NDK with --compiler."
            )
        msg = (
            f"{what} was built for {elf.libc or 'another'} C library: it is loaded by "
            f"{printable(elf.interpreter)}, which {place.spec.name} does not have. {advice}"
        )
        raise UsageError(msg)
    return elf


def _send_library(place: Place, library: Library, folder: Path) -> None:
    """Send a library and a note of its version; delete a library with another name."""
    copy, note = folder / library.name, folder / f"{library.name}.version"
    copy.write_bytes(library.content)
    note.write_text(f"{library.version} {len(library.content)}\n", encoding="ascii")
    for path in (copy, note):
        place.link.push(path, _there(place, path.name))
    others = [_there(place, name) for name in LIBRARIES if name != library.name]
    place.link.run(["rm", "-f", *others], timeout_s=20).check()
