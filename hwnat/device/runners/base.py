"""What times models on a device: a program there, started anew for each visit."""

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
    """One process of a runner that is to be started; paths are the device's.

    Attributes:
        model: file to time.
        reference: file whose runs alternate with it; None where `Runner.alternation` is
            `processes`, for then it is an order of its own.
        threads: of the runtime.
        runs: timed runs, at least.
        warmup: untimed runs before them, at least.
        visit_ms: go on until so long has passed, the first half of it untimed.
    """

    model: str
    reference: str | None
    threads: int
    runs: int
    warmup: int
    visit_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What one process of a runner found.

    Attributes:
        samples_ns: of the model, in order; one value, its median, where a runner tells no more.
        reference_ns: of the reference model; empty where the order named none.
        disturbed: runs thrown away, for another program had the core meanwhile.
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
        name: of its entry point.
        alternation: `runs` if one process holds model and reference, `processes` if it holds one.
    """

    name: str
    alternation: Alternation

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Bring what the device lacks and try it.

        Args:
            link: to the device.
            folder: of the device, for this purpose; what is there already is not sent again.
            machine: what the device is.

        Returns:
            Name and version of the runtime, and of the runner, as the device says.

        Raises:
            UsageError: a file that only the user can supply is not there; the message has the
                command that brings it.
            DeviceError: it does not run there.
        """
        ...

    def argv(self, order: Order, *, folder: str) -> list[str]:
        """Return the command, on the device, that carries out an order."""
        ...

    def read(self, output: str, *, where: str) -> Timed:
        """Read what the command printed.

        Args:
            output: stdout, complete and unchanged.
            where: named in messages.

        Raises:
            DeviceError: the runner says that it failed, or left operators to the CPU though the
                device names a delegate.
            DataError: the output is cut off, garbage or of another program.
        """
        ...


@runtime_checkable
class Answering(Protocol):
    """A runner that can also say what a model computes."""

    def answer(self, *, folder: str, model: str, given: str, answer: str) -> list[str]:
        """Return the command that runs `model` on the raw tensor in file `given`.

        The raw tensor of the output goes into file `answer`; both in the model's own type.
        """
        ...


def get_runner(spec: DeviceSpec) -> Runner:
    """Return the runner that `spec` names, or the one that its target has on such a device.

    Raises:
        UsageError: no such runner, the plug-in is not one, or the target has none.
    """
    name = spec.runner or {"tflite": "litert", "onnx": "agent", "openvino": "agent"}.get(
        spec.target
    )
    if name is None:
        msg = (
            f"Device {spec.name}: nothing times target '{spec.target}' over '{spec.transport}'; "
            "name a `runner` in the device file, see docs/devices.md."
        )
        raise UsageError(msg)
    runner = plugins.load("hwnat.runners", name)(spec)
    if not isinstance(runner, Runner):
        msg = f"Plug-in '{name}' of hwnat.runners returned {type(runner).__name__}, not a Runner."
        raise UsageError(msg)
    return runner
