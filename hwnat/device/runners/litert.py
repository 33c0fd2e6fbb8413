"""The runner for devices without Python: a small program that loads libLiteRt.so."""

import posixpath
import re
from typing import Final

from hwnat.device.runners.base import Answering, Order, Runner, Timed
from hwnat.device.runners.compiler import source_id
from hwnat.device.runners.result import HEADER, read_result, read_version
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Alternation
from hwnat.transport.base import Transport
from hwnat.transport.words import device_path, printable

#: The program (see `runner.c`), and the libraries that it loads from its own folder.
PROGRAM: Final = "hwnat-run"
LIBRARIES: Final = ("libLiteRt.so", "libtensorflowlite_c.so")

#: $1 is the program, the rest are its libraries. The exit code shows which is missing.
_NO_PROGRAM: Final = 40
_NO_LIBRARY: Final = 41
_LOOK: Final = f"""
[ -f "$1" ] || exit {_NO_PROGRAM}
shift
for each; do [ -f "$each" ] && exit 0; done
exit {_NO_LIBRARY}
"""
#: Message of glibc's loader for a file that was built for a newer glibc.
_NEWER: Final = re.compile(r"version [`']GLIBC_([0-9.]{1,12})' not found \(required by ([^)\n]+)\)")


class LitertRunner:
    """Times TFLite files on the CPU, two in one process.

    Raises:
        UsageError: `spec` names a delegate, or another target.
    """

    name = "litert"
    alternation: Alternation = "runs"

    def __init__(self, spec: DeviceSpec) -> None:
        self._device, self._threads = spec.name, spec.threads
        if spec.delegate is not None:
            msg = (
                f"Device {spec.name}: runner 'litert' uses the CPU, not delegate "
                f"'{spec.delegate}'; set runner = \"benchmark_model\" in the device file."
            )
            raise UsageError(msg)
        if spec.target != "tflite":
            msg = (
                f"Device {spec.name}: runner 'litert' runs TFLite files, not those of target "
                f"'{spec.target}'; set another runner in the device file."
            )
            raise UsageError(msg)

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Check that the program and a library exist and work; see `Runner.install`."""
        program, *libraries = (
            device_path(posixpath.join(folder, name)) for name in (PROGRAM, *LIBRARIES)
        )
        look = ["sh", "-c", _LOOK, "sh", program, *libraries]
        status = link.run(look, timeout_s=20).returncode
        if status in {_NO_PROGRAM, _NO_LIBRARY}:
            missing = PROGRAM if status == _NO_PROGRAM else LIBRARIES[0]
            abi = machine.abi or machine.host.machine or "its processor"
            msg = (
                f"Device {self._device} has no {missing} in {folder}. Install it with: hwnat device"
                f" setup {self._device} --litert PATH, where PATH is a libLiteRt.so for {abi}, "
                "or the wheel, AAR or zip that contains one."
            )
            raise UsageError(msg)
        done = link.run([program, "--version"], timeout_s=60)
        if done.returncode:
            self._require_glibc(done.stderr, folder)
        done.check()
        where = f"{self._device}: {PROGRAM} --version"
        runtime, version, source = read_version(done.stdout, where=where)
        if source != source_id():
            msg = (
                f"{PROGRAM} in {folder} of {self._device} was built from another version of hwnat."
                f" Install it again with: hwnat device setup {self._device} --litert PATH"
            )
            raise UsageError(msg)
        return runtime, version, f"{HEADER} (C, {source})"

    def _require_glibc(self, printed: str, folder: str) -> None:
        """Raise if a program or a library was built for a newer system.

        Raises:
            DeviceError: with the remedy.
        """
        newer = _NEWER.search(printed)
        if newer is None:
            return
        version, asking = newer[1], posixpath.basename(newer[2])
        if asking == PROGRAM:
            msg = (
                f"Device {self._device} has a C library (glibc) older than {version}, which "
                f"{PROGRAM} in {folder} needs: your compiler is newer than the device's system. "
                f"Choose an older one with: hwnat device setup {self._device} --litert PATH "
                "--compiler COMPILER, or run that on a machine with the device's distribution, or "
                'set runner = "agent" in the device file.'
            )
        else:
            msg = (
                f"Device {self._device} has a C library (glibc) older than {version}, which "
                f"{printable(asking, limit=80)} in {folder} needs. Install a build for an older "
                f"system with: hwnat device setup {self._device} --litert PATH, or set "
                'runner = "agent" in the device file.'
            )
        raise DeviceError(msg)

    def argv(self, order: Order, *, folder: str) -> list[str]:
        """Return the command that executes an order; see `Runner.argv`."""
        return [device_path(posixpath.join(folder, PROGRAM)), *time_words(order)]

    def read(self, output: str, *, where: str) -> Timed:
        """Read the output of the command; see `Runner.read`."""
        return read_result(output, where=where)[0]

    def answer(self, *, folder: str, model: str, given: str, answer: str) -> list[str]:
        """Return the command that runs a model once; see `Answering.answer`."""
        program = device_path(posixpath.join(folder, PROGRAM))
        return [program, *answer_words(model, given, answer, threads=self._threads)]


def time_words(order: Order) -> list[str]:
    """Return the arguments of a program that prints the format of `result` for an order."""
    reference = [] if order.reference is None else ["--reference", device_path(order.reference)]
    numbers = {
        "--threads": order.threads,
        "--runs": order.runs,
        "--warmup": order.warmup,
        "--visit-ms": order.visit_ms,
    }
    words = [word for name, value in numbers.items() for word in (name, str(value))]
    return ["time", "--model", device_path(order.model), *reference, *words]


def answer_words(model: str, given: str, answer: str, *, threads: int) -> list[str]:
    """Return the arguments that make such a program run once on a tensor in a file."""
    files = {"--model": model, "--in": given, "--out": answer}
    words = [word for name, path in files.items() for word in (name, device_path(path))]
    return ["answer", *words, "--threads", str(threads)]


_CHECK: type[Runner] = LitertRunner
_CHECK_TOO: type[Answering] = LitertRunner
