"""Runners: programs that time models on a device; each visit starts a new process."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hwnat import plugins
from hwnat.errors import DataError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Alternation
from hwnat.transport.base import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One process of a runner to start; paths are on the device.

    Attributes:
        model: file to time.
        reference: file whose runs alternate with those of the model; None if
            `Runner.alternation` is `processes`, because the reference then has its own order.
        threads: number of threads of the runtime.
        runs: minimum number of timed runs.
        warmup: minimum number of untimed runs before them.
        visit_ms: minimum duration; the first half is not timed.
    """

    model: str
    reference: str | None
    threads: int
    runs: int
    warmup: int
    visit_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The timings of one process of a runner.

    Attributes:
        samples_ns: runs of the model, in order; only their median if the runner reports no more.
        reference_ns: runs of the reference model; empty if the order has none.
        disturbed: number of runs discarded because another program used the core.
    """

    samples_ns: tuple[int, ...]
    reference_ns: tuple[int, ...] = ()
    disturbed: int = 0

    def __post_init__(self) -> None:
        series = (*self.samples_ns, *self.reference_ns)
        if not self.samples_ns or min(series) <= 0 or self.disturbed < 0:
            msg = f"samples {self.samples_ns} and {self.reference_ns} are not all above zero."
            raise DataError(msg)


@runtime_checkable
class Runner(Protocol):
    """A program that times models on a device; a plug-in is a callable `(DeviceSpec) -> Runner`.

    Attributes:
        name: name of its entry point.
        alternation: `runs` if one process holds model and reference, `processes` if it holds one.
    """

    name: str
    alternation: Alternation

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Install what is missing on the device and start it once.

        Args:
            link: connection to the device.
            folder: folder for programs on the device; files that exist there are not sent again.
            machine: description of the device.

        Returns:
            Runtime name, runtime version and runner version, as the device reports them.

        Raises:
            UsageError: a file that only the user can supply is missing; the message has the
                command that installs it.
            DeviceError: the runner does not start on the device.
        """
        ...

    def argv(self, order: Order, *, folder: str) -> list[str]:
        """Return the command that executes an order on the device."""
        ...

    def read(self, output: str, *, where: str) -> Timed:
        """Read the output of the command.

        Args:
            output: stdout, complete and unchanged.
            where: place to name in messages.

        Raises:
            DeviceError: the runner reports a failure, or ran operators on the CPU although the
                device has a delegate.
            DataError: the output is cut off, damaged or from another program.
        """
        ...


@runtime_checkable
class Answering(Protocol):
    """A runner that can also return the outputs of a model."""

    def answer(self, *, folder: str, model: str, given: str, answer: str) -> list[str]:
        """Return the command that runs `model` on the raw inputs in file `given`.

        It writes the raw outputs to file `answer`. Both files hold all tensors in the order and
        with the types of the model, one after the other.
        """
        ...


def get_runner(spec: DeviceSpec) -> Runner:
    """Return the runner that `spec` names, or the default runner of its target.

    Raises:
        UsageError: the runner is unknown or not a runner, or the target has no default.
    """
    name = spec.runner or {"tflite": "litert", "onnx": "agent", "openvino": "agent"}.get(
        spec.target
    )
    if name is None:
        msg = (
            f"Device {spec.name}: no runner times target '{spec.target}' over '{spec.transport}'; "
            "set `runner` in the device file, see docs/devices.md."
        )
        raise UsageError(msg)
    runner = plugins.load("hwnat.runners", name)(spec)
    if not isinstance(runner, Runner):
        msg = f"Plug-in '{name}' of hwnat.runners returned {type(runner).__name__}, not a Runner."
        raise UsageError(msg)
    return runner
