"""The runner for boards with Python: a single file that needs NumPy and one runtime."""

import posixpath
from importlib.resources import as_file, files
from typing import Final

from hwnat.device.runners.agent_program import NO_NUMPY, NO_RUNTIME, RUNTIMES
from hwnat.device.runners.base import Answering, Order, Runner, Timed
from hwnat.device.runners.compiler import source_id
from hwnat.device.runners.litert import answer_words, time_words
from hwnat.device.runners.result import HEADER, read_result, read_version
from hwnat.errors import UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Alternation
from hwnat.transport.base import Transport
from hwnat.transport.words import device_path, printable

_SOURCE: Final = "agent_program.py"
_FILE: Final = "hwnat_agent.py"
#: Exit codes of a shell if the program does not exist or cannot start.
_NO_PROGRAM: Final = (126, 127)


class AgentRunner:
    """Times ONNX, OpenVINO or TFLite files with the packages installed on the board.

    Raises:
        UsageError: `spec` names a delegate, or a target without a runtime.
    """

    name = "agent"
    alternation: Alternation = "runs"

    def __init__(self, spec: DeviceSpec) -> None:
        self._spec = spec
        if spec.delegate is not None:
            msg = (
                f"Device {spec.name}: runner 'agent' uses the CPU, not delegate "
                f"'{spec.delegate}'. Remove `delegate` from the device file."
            )
            raise UsageError(msg)
        if spec.target not in RUNTIMES:
            msg = (
                f"Device {spec.name}: runner 'agent' has no runtime for target '{spec.target}'; "
                f"set `target` in the device file to one of: {', '.join(RUNTIMES)}."
            )
            raise UsageError(msg)

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Send the agent and start it once; see `Runner.install`."""
        del machine
        with as_file(files("hwnat.device.runners") / _SOURCE) as path:
            link.push(path, device_path(posixpath.join(folder, _FILE)))
        argv = [*self._program(folder), "--version", "--target", self._spec.target]
        # The first import of a runtime on a small board can take minutes.
        done = link.run(argv, timeout_s=300)
        name, python, printed = (
            self._spec.name,
            self._spec.python,
            printable(done.stderr, limit=300),
        )
        if done.returncode in _NO_PROGRAM:
            msg = (
                f"Device {name} has no program '{python}'. Install Python 3.8 or later on it, or "
                "set `python` in the device file to the path of one. On a device without Python "
                f'the runner "litert" times TFLite files. The device printed: {printed}'
            )
            raise UsageError(msg)
        lacks = {NO_NUMPY: "numpy", NO_RUNTIME: RUNTIMES[self._spec.target].packages[0]}
        if done.returncode in lacks:
            package = lacks[done.returncode]
            msg = (
                f"Device {name}: its {python} cannot import {package}. Install it on the device"
                f" with: {python} -m pip install {package}; or set `python` in the device file "
                f"to a Python that has it. The device printed: {printed}"
            )
            raise UsageError(msg)
        runtime, version, _ = read_version(done.check().stdout, where=f"{name}: {_FILE} --version")
        return runtime, version, f"{HEADER} (Python, {source_id(_SOURCE)})"

    def argv(self, order: Order, *, folder: str) -> list[str]:
        """Return the command that executes an order; see `Runner.argv`."""
        return [*self._program(folder), *time_words(order)]

    def read(self, output: str, *, where: str) -> Timed:
        """Read the output of the command; see `Runner.read`."""
        return read_result(output, where=where)[0]

    def answer(self, *, folder: str, model: str, given: str, answer: str) -> list[str]:
        """Return the command that runs a model once; see `Answering.answer`."""
        words = answer_words(model, given, answer, threads=self._spec.threads)
        return [*self._program(folder), *words]

    def _program(self, folder: str) -> list[str]:
        return [self._spec.python, device_path(posixpath.join(folder, _FILE))]


_CHECK: type[Runner] = AgentRunner
_CHECK_TOO: type[Answering] = AgentRunner
