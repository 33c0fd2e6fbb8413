"""What a target is: an exporter and a timer; needs neither torch nor a runtime to import."""

import copy
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hwnat import plugins
from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Artifact, Layout, Shape
from hwnat.records.device import Npu, Precision
from hwnat.transport.base import Transport

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace

Floats = npt.NDArray[np.float32]


class Session(Protocol):
    """A loaded file that is run with one input at a time.

    Attributes:
        input_shape: the input it takes, always (batch, channels, height, width).
    """

    input_shape: Shape

    def prepare(self, x: Floats) -> None:
        """Bind an NCHW input; conversion to the file's layout happens here, untimed."""

    def invoke(self) -> None:
        """Run once with the bound input; the output is complete on return. This is timed."""

    def output(self) -> Floats:
        """Return a copy of the last run's output: (batch, classes) or NCHW."""
        ...

    def packed(self, x: Floats) -> bytes:
        """Return an NCHW input as the raw tensor that the file takes."""
        return np.ascontiguousarray(check_input(x, self.input_shape)).tobytes()

    def unpacked(self, raw: bytes) -> Floats:
        """Return a raw tensor of the file's output as `output` does, which was called before.

        Raises:
            DataError: it is of another size.
        """
        return as_tensor(raw, self.output().shape, np.float32)

    def run(self, x: Floats) -> Floats:
        """Return the output for an NCHW float32 input."""
        self.prepare(x)
        self.invoke()
        return self.output()


@runtime_checkable
class SelfTimed(Protocol):
    """A session that is timed by the clock of the device that executes it, not by the host's."""

    def timed(self) -> int:
        """Run once as `invoke` does and return the nanoseconds that it took there.

        Raises:
            DeviceError: the clock did not see the run.
        """
        ...


@runtime_checkable
class Target(Protocol):
    """A file format with the runtime that executes it.

    Attributes:
        name: name of its entry point.
        suffix: of the file it writes, with the dot.
        layout: axis order of the file's input.
        precision: of the files that `export` writes.
    """

    name: str
    suffix: str
    layout: Layout
    precision: Precision

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module` in evaluation mode for one fixed NCHW `input_shape`.

        The module is left as it was; equal modules give equal bytes. On failure nothing is written.

        Raises:
            UsageError: the module holds something that this target cannot express.
        """
        ...

    def convert(self, onnx: Path, path: Path) -> None:
        """Write an ONNX file as a file of this target, as an exported network would be.

        Raises:
            DataError: the file is missing or damaged.
            UsageError: it holds what has no form in this target; the message names it.
        """
        ...

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open an exported file for running.

        Raises:
            DataError: the file is missing or not a model of this format.
        """
        ...

    def trace(self, path: Path) -> "Trace":
        """Return what the runtime executes of a file of this target or of an ONNX file.

        Raises:
            DataError: the file is missing, damaged, has no fixed shapes, or holds what the
                runtime cannot execute; the message names it.
            UsageError: this target has no form for what an ONNX file holds.
        """
        ...

    def runtime(self) -> tuple[str, str]:
        """Return name and version of the runtime that `load` uses.

        Raises:
            UsageError: no runtime is installed; the message says what to install.
        """
        ...


@runtime_checkable
class Quantising(Protocol):
    """A target that can write INT8 files beside its own precision."""

    def quantised(self, calibration: Floats | None = None) -> Target:
        """Return the target that writes INT8 files.

        Args:
            calibration: (n, channels, height, width) inputs like those to come; None draws
                normal ones for each file, for modules that were never trained.
        """
        ...


@runtime_checkable
class Delegating(Protocol):
    """A target that can run its files on an accelerator of this machine."""

    def delegated(self, delegate: str) -> Target:
        """Return the target that runs every file on `delegate` whole.

        Raises:
            UsageError: it knows no such delegate.
        """
        ...


@runtime_checkable
class Estimator(Protocol):
    """A target whose files a compiler estimates; its `load` is for parity, never for timing."""

    def estimate(self, path: Path, npu: Npu, *, link: Transport) -> str:
        """Compile a file and return what the compiler printed, complete.

        Raises:
            UsageError: the compiler is not installed where `link` leads.
            DeviceError: it failed or hung, or does not know `npu`.
        """
        ...


def get_target(
    name: str, *, precision: Precision | None = None, delegate: str | None = None
) -> Target:
    """Return the target registered as `name` in the entry-point group `hwnat.targets`.

    Args:
        name: of the entry point.
        precision: of the files it shall write; None takes the target's own.
        delegate: accelerator of this machine that shall run them; None takes the target's own.

    Raises:
        UsageError: no such target, the plug-in is not one, or it cannot write that precision or
            use that delegate.
    """
    target = plugins.load("hwnat.targets", name)()
    if not isinstance(target, Target):
        msg = f"Plug-in '{name}' of hwnat.targets returned {type(target).__name__}, not a Target."
        raise UsageError(msg)
    if precision not in (None, target.precision):
        if precision != "int8" or not isinstance(target, Quantising):
            msg = (
                f"Target {name} writes {target.precision} files, not {precision}; "
                f'set precision = "{target.precision}" in the device file, or name another '
                "target."
            )
            raise UsageError(msg)
        target = target.quantised()
    if delegate is None:
        return target
    if not isinstance(target, Delegating):
        msg = (
            f"Target {name} uses no delegate on this machine; take `delegate` out of the device "
            "file, or name another target."
        )
        raise UsageError(msg)
    return target.delegated(delegate)


def check_input(x: Floats, shape: Shape) -> Floats:
    """Return `x`, a float32 NCHW array of exactly `shape`.

    Raises:
        DataError: another type or shape.
    """
    if x.dtype != np.float32 or x.shape != shape:
        msg = f"Input is {x.dtype} {x.shape}; this file takes float32 {shape} (NCHW)."
        raise DataError(msg)
    return x


def as_tensor(raw: bytes, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return raw bytes, row by row, as an array of its own.

    Raises:
        DataError: they are too few or too many.
    """
    wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(raw) != wanted:
        msg = f"{len(raw)} bytes are no tensor {shape} of {np.dtype(dtype)}, which has {wanted}."
        raise DataError(msg)
    return np.frombuffer(raw, dtype).reshape(shape).copy()


def eval_copy(module: "nn.Module") -> "nn.Module":
    """Return a float32 copy of `module` in evaluation mode; the original stays untouched."""
    return copy.deepcopy(module).cpu().float().eval().requires_grad_(False)


def installed(package: str, *, extra: str) -> tuple[str, str]:
    """Return name and version of a runtime's package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return package, version(package)
    except PackageNotFoundError as error:
        msg = f"{package} is not installed; install it with: pip install 'hwnat[{extra}]'"
        raise UsageError(msg) from error


def require_one_output(names: Sequence[str], path: Path) -> None:
    """Refuse a model whose further outputs would be left out.

    Raises:
        DataError: it does not have exactly one output; the message names them.
    """
    if len(names) != 1:
        listed = ", ".join(f"{name:.80}" for name in names[:5]) or "none"
        msg = (
            f"{path} must have one output; it has {len(names)} ({listed}). Export it with one "
            "output."
        )
        raise DataError(msg)


def require_file(path: Path, kind: str) -> Path:
    """Return `path` if it is a file.

    Raises:
        DataError: it is not there.
    """
    if not path.is_file():
        msg = f"No {kind} file at {path}; write one with: hwnat export."
        raise DataError(msg)
    return path
