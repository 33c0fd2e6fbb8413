"""TFLite files, run by LiteRT's interpreter or by tflite-runtime, with XNNPACK on the CPU.

Loading and timing need numpy and one of those two runtimes; only exporting needs torch. What runs
them on a GPU instead is `hwnat.targets.tflite_gpu`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Artifact, Layout, Shape, describe, staged
from hwnat.records.device import Precision
from hwnat.targets.base import (
    Floats,
    Session,
    Target,
    as_tensor,
    check_input,
    eval_copy,
    installed,
    require_file,
)

if TYPE_CHECKING:
    from torch import nn

    from hwnat.targets.trace import Trace

#: (package, module of its interpreter), the preferred one first.
_RUNTIMES: Final = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)


class TfliteTarget:
    """Exporter of this package's own, timer through LiteRT or tflite-runtime.

    Args:
        split_depthwise: see `hwnat.targets.tflite_writer.write_tflite`.
        precision: int8 writes files with int8 input and output, see `hwnat.targets.tflite_int8`.
        calibration: (n, channels, height, width) inputs that the scales of int8 are fitted to.
        delegate: `gpu` loads files onto the GPU; None onto the CPU.
    """

    name = "tflite"
    suffix = ".tflite"
    layout: Layout = "NHWC"

    def __init__(
        self,
        *,
        split_depthwise: bool = True,
        precision: Precision = "fp32",
        calibration: Floats | None = None,
        delegate: Literal["gpu"] | None = None,
    ) -> None:
        self._split_depthwise = split_depthwise
        self.precision: Precision = precision
        self._calibration = calibration
        self._delegate = delegate

    def quantised(self, calibration: Floats | None = None) -> Target:
        """Return the target that writes INT8 files; see `Quantising`."""
        return TfliteTarget(
            split_depthwise=self._split_depthwise,
            precision="int8",
            calibration=calibration,
            delegate=self._delegate,
        )

    def delegated(self, delegate: str) -> Target:
        """Return the target that runs files on the GPU; see `Delegating`."""
        if delegate != "gpu":
            msg = f"Target {self.name} runs files on this machine's CPU, or with delegate 'gpu'; "
            raise UsageError(msg + f"it knows no '{delegate}'. Change the device file.")
        return TfliteTarget(
            split_depthwise=self._split_depthwise,
            precision=self.precision,
            calibration=self._calibration,
            delegate="gpu",
        )

    def export(self, module: "nn.Module", input_shape: Shape, path: Path) -> Artifact:
        """Write `module`; see `Target.export`."""
        from hwnat.targets.tflite_writer import write_tflite

        with staged(path) as draft:
            if self.precision == "int8":
                counts = self._quantise(eval_copy(module), input_shape, draft)
            else:
                counts = write_tflite(
                    eval_copy(module), input_shape, draft, split_depthwise=self._split_depthwise
                )
        return describe(
            path,
            target=self.name,
            layout=self.layout,
            nchw=input_shape,
            precision=self.precision,
            details=counts,
        )

    def _quantise(self, module: "nn.Module", shape: Shape, path: Path) -> dict[str, int]:
        from hwnat.targets.tflite_int8 import write_int8

        return write_int8(
            module,
            shape,
            path,
            calibration=self._calibration,
            split_depthwise=self._split_depthwise,
        )

    def convert(self, onnx: Path, path: Path) -> None:
        """Write an ONNX file of the family that the writer knows; see `Target.convert`."""
        from hwnat.targets.onnx_import import import_onnx
        from hwnat.targets.tflite_writer import write_tflite

        imported = import_onnx(onnx)
        with staged(path) as draft:
            if self.precision == "int8":
                self._quantise(imported.module, imported.input_shape, draft)
                return
            write_tflite(
                imported.module,
                imported.input_shape,
                draft,
                split_depthwise=self._split_depthwise,
            )

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """Open a file; see `Target.load`."""
        require_file(path, "TFLite")
        if self._delegate == "gpu":
            from hwnat.targets.tflite_gpu import GpuSession

            return GpuSession(path)
        return _TfliteSession(path, threads)

    def trace(self, path: Path) -> "Trace":
        """Return what the interpreter executes; an ONNX file is converted as it would ship.

        Raises:
            UsageError: of the target that writes INT8 files or runs them on a GPU; else see
                `Target.trace`.
        """
        if self._delegate is not None:
            msg = f"{path}: what a GPU executes cannot be traced; name a device of target "
            raise UsageError(msg + f"{self.name} without a delegate, such as host-tflite.")
        if self.precision != "fp32":
            msg = f"{path}: operators are traced and timed in fp32 only; name a device of that "
            raise UsageError(msg + "precision, or profile a space instead of a --model.")
        from hwnat.targets.trace_tflite import trace_onnx_as_tflite, trace_tflite

        runtime = " ".join(self.runtime())
        if path.suffix == ".onnx":
            return trace_onnx_as_tflite(path, split=self._split_depthwise, runtime=runtime)
        return trace_tflite(require_file(path, "TFLite"), runtime=runtime)

    def runtime(self) -> tuple[str, str]:
        """Return the package and version of the runtime in use."""
        package = _RUNTIMES[0][0] if self._delegate == "gpu" else _interpreter()[0]
        return installed(package, extra="tflite")


_CHECK: type[Target] = TfliteTarget


@cache
def _interpreter() -> tuple[str, Any]:
    """Return package and class of the first runtime that can construct an interpreter."""
    for package, module in _RUNTIMES:
        try:
            interpreter = import_module(module).Interpreter
        except ImportError:
            continue
        try:
            interpreter(model_content=b"not a model")
        except ValueError:  # it read and refused that, so it works
            return package, interpreter
        except SystemError:  # it was built for another numpy
            continue
    msg = "No TFLite runtime works here; install one with: pip install hwnat[tflite]"
    raise UsageError(msg)


def open_interpreter(path: Path, threads: int) -> Any:  # noqa: ANN401 - the runtimes have no types
    """Load a file and allocate its tensors.

    Raises:
        DataError: the runtime refuses it.
    """
    try:
        interpreter = _interpreter()[1](model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path} is not a model that TFLite can load ({reason}); export it again."
        raise DataError(msg) from error
    return interpreter


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorForm:
    """How input and output of a file are laid out, and how NCHW floats become that.

    Attributes:
        input_shape: NCHW.
        given: type and quantisation of the input; `answer` of the output.
    """

    input_shape: Shape
    given: Mapping[str, Any]
    answer: Mapping[str, Any]

    def encode(self, x: Floats) -> npt.NDArray[Any]:
        """Return an NCHW input as the file takes it."""
        nhwc = check_input(x, self.input_shape).transpose(0, 2, 3, 1)
        if self.given["dtype"] == np.int8:
            scale, zero_point = self.given["quantization"]
            nhwc = np.clip(np.round(nhwc / scale) + zero_point, -128, 127).astype(np.int8)
        return np.ascontiguousarray(nhwc)

    def raw(self, answer: bytes) -> npt.NDArray[Any]:
        """Return the bytes of an output as the file's own tensor.

        Raises:
            DataError: they are too few or too many.
        """
        shape = tuple(int(size) for size in self.answer["shape"])
        return as_tensor(answer, shape, self.answer["dtype"])

    def decode(self, y: npt.NDArray[Any]) -> Floats:
        """Return what the file put out as (batch, classes) or NCHW floats."""
        if self.answer["dtype"] == np.int8:
            scale, zero_point = self.answer["quantization"]
            y = np.float32(scale) * (y.astype(np.float32) - zero_point)
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if y.ndim == 4 else y


def tensor_form(interpreter: Any, path: Path) -> TensorForm:  # noqa: ANN401
    """Return the form of an opened file.

    Raises:
        DataError: it is not one of this package's, with one image as its input.
    """
    inputs = interpreter.get_input_details()
    shape = tuple(int(size) for size in inputs[0]["shape"]) if len(inputs) == 1 else ()
    if len(shape) != 4 or inputs[0]["dtype"] not in (np.float32, np.int8):
        msg = f"{path} must have one 4-D float32 input, or int8; it has {shape}. Export it again."
        raise DataError(msg)
    batch, height, width, channels = shape
    return TensorForm(
        input_shape=(batch, channels, height, width),
        given=inputs[0],
        answer=interpreter.get_output_details()[0],
    )


class _TfliteSession(Session):
    """An interpreter with allocated tensors; integers become floats outside of what is timed."""

    def __init__(self, path: Path, threads: int) -> None:
        self._interpreter = open_interpreter(path, threads)
        self._form = tensor_form(self._interpreter, path)
        self.input_shape = self._form.input_shape

    def prepare(self, x: Floats) -> None:
        self._interpreter.set_tensor(self._form.given["index"], self._form.encode(x))

    def invoke(self) -> None:
        self._interpreter.invoke()

    def output(self) -> Floats:
        return self._form.decode(self._interpreter.get_tensor(self._form.answer["index"]))

    def packed(self, x: Floats) -> bytes:
        return self._form.encode(x).tobytes()

    def unpacked(self, raw: bytes) -> Floats:
        return self._form.decode(self._form.raw(raw))
