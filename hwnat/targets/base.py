"""The protocols of targets and sessions. Importing this needs neither torch nor a runtime."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hwnat import plugins
from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Artifact, Layout, Shape
from hwnat.records.device import Npu, Precision
from hwnat.targets.inputs import TensorSpec, image_shape, shown
from hwnat.transport.base import Transport

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace

Floats = npt.NDArray[np.float32]
#: One array for each input of a file.
Feed = Sequence[npt.NDArray[Any]]


class Session(Protocol):
    """A loaded model file that runs with one set of inputs at a time.

    Attributes:
        path: the file.
        signature: inputs in the file's own order, layout and types.
        layout: axis order of an input that is an image.
    """

    path: Path
    signature: tuple[TensorSpec, ...]
    layout: Layout = "NCHW"

    def bind(self, feed: Feed) -> None:
        """Bind one array for each input of `signature`. This is not timed.

        Raises:
            DataError: an array does not fit its input.
        """
        ...

    def invoke(self) -> None:
        """Run once with the bound inputs and return when the outputs are complete. This is timed.

        Raises:
            DataError: the runtime cannot run the file with these inputs.
        """
        ...

    def outputs(self) -> list[npt.NDArray[Any]]:
        """Return copies of all outputs of the last run, in the file's order, layout and types.

        Raises:
            DataError: an output is not a tensor.
        """
        ...

    @property
    def input_shape(self) -> Shape:
        """Shape of the only input, an image, always (batch, channels, height, width).

        Raises:
            DataError: the file has other inputs.
        """
        return image_shape(self.signature, self.path, layout=self.layout)

    def prepare(self, x: Floats) -> None:
        """Bind an NCHW image and convert it to the file's layout. This is not timed.

        Raises:
            DataError: the file has other inputs, or the image does not fit.
        """
        self.bind([to_layout(check_input(x, self.input_shape), self.layout)])

    def output(self) -> Floats:
        """Return the only output of the last run as floats: (batch, classes) or NCHW.

        Raises:
            DataError: the file has several outputs.
        """
        return to_nchw(only_output(self.outputs(), self.path).astype(np.float32), self.layout)

    def run(self, x: Floats) -> Floats:
        """Return the output for an NCHW float32 image."""
        self.prepare(x)
        self.invoke()
        return self.output()


@runtime_checkable
class SelfTimed(Protocol):
    """A session that is timed by the executing device's clock instead of the host's."""

    def timed(self) -> int:
        """Run once as `invoke` does and return the nanoseconds that the device measured.

        Raises:
            DeviceError: the device's clock did not advance during the run.
        """
        ...


@runtime_checkable
class Target(Protocol):
    """A file format and the runtime that executes it.

    Attributes:
        name: name of the entry point.
        suffix: suffix of the exported file, with the dot.
        layout: axis order of the file's input.
        precision: precision of the files that `export` writes.
    """

    name: str
    suffix: str
    layout: Layout
    precision: Precision

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module` in evaluation mode for one fixed NCHW `input_shape`.

        The module is not changed. Equal modules give equal bytes. On failure nothing is written.

        Raises:
            UsageError: the module contains an operation that this target cannot express.
        """
        ...

    def convert(self, onnx: Path, path: Path) -> None:
        """Convert an ONNX file to this target's format, as `export` would write the network.

        Raises:
            DataError: the file is missing or damaged.
            UsageError: the file contains operators that this target cannot express; the message
                names them.
        """
        ...

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open an exported file so that it can be run.

        Raises:
            DataError: the file is missing or is not a model of this format.
        """
        ...

    def trace(self, path: Path) -> "Trace":
        """Return the kernels that the runtime executes for a file of this target or an ONNX file.

        Raises:
            DataError: the file is missing or damaged, has dynamic shapes, or contains operators
                that the runtime cannot execute; the message names them.
            UsageError: this target cannot express an operator of the ONNX file.
        """
        ...

    def runtime(self) -> tuple[str, str]:
        """Return the name and version of the runtime that `load` uses.

        Raises:
            UsageError: no runtime is installed; the message says what to install.
        """
        ...


@runtime_checkable
class Quantising(Protocol):
    """A target that can also write INT8 files."""

    def quantised(self, calibration: Floats | None = None) -> Target:
        """Return the target that writes INT8 files.

        Args:
            calibration: (n, channels, height, width) inputs that represent the deployed ones.
                None draws normally distributed inputs for each file, which suits untrained
                modules.
        """
        ...


@runtime_checkable
class Delegating(Protocol):
    """A target that can run its files on an accelerator in this machine."""

    def delegated(self, delegate: str) -> Target:
        """Return the target that runs every operator of a file on `delegate`.

        Raises:
            UsageError: the target does not support the delegate.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A model that was cut out of another.

    Attributes:
        inputs: names of the whole model's values that the piece takes, in order.
        outputs: names of the whole model's values that the piece returns, in order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@runtime_checkable
class Cutting(Protocol):
    """A target that can cut pieces out of its files."""

    def cut(self, path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool = False) -> Piece:
        """Write a file with some nodes of another file, their weights and other constants.

        The piece takes the values that these nodes read from other nodes, and returns the values
        that other nodes read or the whole model returns.

        Args:
            path: a file of this target.
            nodes: names of nodes, as `TracedOp.nodes` of this file's trace holds them.
            out: path of the piece.
            ancestors: also take every node that these nodes depend on.

        Raises:
            DataError: the file is missing or damaged, or has no such node.
            UsageError: the nodes cannot run on their own; the message says why.
        """
        ...


@runtime_checkable
class Reshaping(Protocol):
    """A target that can fix the input shapes of its files."""

    def fixed(self, path: Path, shapes: Mapping[str, tuple[int, ...]], out: Path) -> None:
        """Write a copy of a file whose inputs have fixed shapes.

        Args:
            path: a file of this target.
            shapes: name of an input -> its shape in the file's layout; the name may be "" if the
                file has one input. Other inputs keep theirs.
            out: path of the copy.

        Raises:
            UsageError: the file has no such input, or it has another rank.
            DataError: the file is damaged, cannot take these shapes, or has other inputs whose
                shapes are not fixed.
        """
        ...


@runtime_checkable
class Estimator(Protocol):
    """A target whose latencies a compiler estimates; `load` serves parity checks, not timing."""

    def estimate(self, path: Path, npu: Npu, *, link: Transport) -> str:
        """Compile a file and return the compiler's complete output.

        Raises:
            UsageError: the compiler is not installed on the machine that `link` connects to.
            DeviceError: the compiler failed, hung, or does not know `npu`.
        """
        ...


def get_target(
    name: str, *, precision: Precision | None = None, delegate: str | None = None
) -> Target:
    """Return the target registered as `name` in the entry-point group `hwnat.targets`.

    Args:
        name: name of the entry point.
        precision: precision of the files to write; None keeps the target's default.
        delegate: accelerator in this machine that runs the files; None keeps the target's default.

    Raises:
        UsageError: there is no such target, the plug-in is not a target, or the target does not
            support the precision or the delegate.
    """
    target = plugins.load("hwnat.targets", name)()
    if not isinstance(target, Target):
        msg = f"Plug-in '{name}' of hwnat.targets returned {type(target).__name__}, not a Target."
        raise UsageError(msg)
    if precision not in (None, target.precision):
        if precision != "int8":
            msg = (
                f"Target {name} writes {target.precision} files, not {precision}; set "
                f'precision = "{target.precision}" in the device file, or choose another target.'
            )
            raise UsageError(msg)
        if not isinstance(target, Quantising):
            msg = (
                f"Target {name} writes {target.precision} files, not int8; set "
                f'precision = "{target.precision}" in the device file, or use target tflite for '
                "INT8, as device host-tflite-int8 does. `hwnat export --to tflite` writes an INT8 "
                "file if the search or --table uses a table of such a device."
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
        DataError: `x` has another type or shape.
    """
    if x.dtype != np.float32 or x.shape != shape:
        msg = f"Input is {x.dtype} {x.shape}; this file takes float32 {shape} (NCHW)."
        raise DataError(msg)
    return x


def to_layout(x: Floats, layout: Layout) -> Floats:
    """Return an NCHW array in the layout of a file."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" else x


def to_nchw(y: Floats, layout: Layout) -> Floats:
    """Return an output in the layout of a file as NCHW, unless it has no height and width."""
    nhwc = layout == "NHWC" and y.ndim == 4
    return np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if nhwc else y


def eval_copy(module: "nn.Module") -> "nn.Module":
    """Return a float32 copy of `module` in evaluation mode; the original stays untouched."""
    return copy.deepcopy(module).cpu().float().eval().requires_grad_(False)


def installed(package: str, *, extra: str) -> tuple[str, str]:
    """Return the name and version of a runtime's package.

    Raises:
        UsageError: the package is not installed.
    """
    try:
        return package, version(package)
    except PackageNotFoundError as error:
        msg = f"{package} is not installed; install it with: pip install 'hwnat[{extra}]'"
        raise UsageError(msg) from error


def only_output(outputs: Feed, path: Path) -> npt.NDArray[Any]:
    """Return the only output of a file.

    Raises:
        DataError: the file does not have exactly one output.
    """
    if len(outputs) != 1:
        listed = ", ".join(f"{shown(y.shape)} {y.dtype}" for y in outputs[:5]) or "none"
        msg = (
            f"{path} must have one output to be compared; it has {len(outputs)} ({listed}). Export "
            "it with one output."
        )
        raise DataError(msg)
    return outputs[0]


def require_file(path: Path, kind: str) -> Path:
    """Return `path` if it is a file.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        msg = f"No {kind} file at {path}; write one with: hwnat export."
        raise DataError(msg)
    return path
