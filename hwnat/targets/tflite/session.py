"""Interpreters of LiteRT or tflite-runtime, and the layout of their inputs and outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.base import (
    Floats,
    Session,
    as_tensor,
    check_input,
    require_one_input,
    require_one_output,
)
from hwnat.targets.limits import check_operators, check_tensor, reading

#: (package, module of its interpreter), in order of preference.
RUNTIMES: Final = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)


@cache
def runtime_in_use() -> tuple[str, Any]:
    """Return the package and interpreter class of the first runtime that works.

    Raises:
        UsageError: no runtime works.
    """
    for package, module in RUNTIMES:
        try:
            interpreter = import_module(module).Interpreter
        except ImportError:
            continue
        try:
            interpreter(model_content=b"not a model")
        except ValueError:  # it read and refused the content, so it works
            return package, interpreter
        except SystemError:  # it was built for another numpy
            continue
    msg = "No TFLite runtime works here; install one with: pip install 'hwnat[tflite]'"
    raise UsageError(msg)


def open_interpreter(path: Path, threads: int) -> Any:  # noqa: ANN401 - the runtimes have no types
    """Load a file and allocate its tensors.

    Raises:
        DataError: the runtime refuses the file.
    """
    runtime = runtime_in_use()[1]
    with reading(path, "TFLite"):
        interpreter = runtime(model_path=str(path), num_threads=threads)
        tensors = interpreter.get_tensor_details()
        check_operators(len(interpreter._get_ops_details()), path)
        for tensor in tensors:
            item_bytes = np.dtype(tensor["dtype"]).itemsize
            check_tensor(tensor["name"], tensor["shape"], path, item_bytes=item_bytes)
        interpreter.allocate_tensors()
    return interpreter


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorForm:
    """Layout of a file's input and output, with conversion from and to NCHW floats.

    Attributes:
        input_shape: shape of the input, NCHW.
        given: type and quantisation of the input.
        answer: type, shape and quantisation of the output.
    """

    input_shape: Shape
    given: Mapping[str, Any]
    answer: Mapping[str, Any]

    def encode(self, x: Floats) -> npt.NDArray[Any]:
        """Return an NCHW input as the file's input tensor."""
        nhwc = check_input(x, self.input_shape).transpose(0, 2, 3, 1)
        if self.given["dtype"] == np.int8:
            scale, zero_point = self.given["quantization"]
            nhwc = np.clip(np.round(nhwc / scale) + zero_point, -128, 127).astype(np.int8)
        return np.ascontiguousarray(nhwc)

    def raw(self, answer: bytes) -> npt.NDArray[Any]:
        """Return the bytes of an output as the file's output tensor.

        Raises:
            DataError: the number of bytes does not match the output's shape.
        """
        shape = tuple(int(size) for size in self.answer["shape"])
        return as_tensor(answer, shape, self.answer["dtype"])

    def decode(self, y: npt.NDArray[Any]) -> Floats:
        """Return the file's output tensor as (batch, classes) or NCHW floats."""
        if self.answer["dtype"] == np.int8:
            scale, zero_point = self.answer["quantization"]
            y = np.float32(scale) * (y.astype(np.float32) - zero_point)
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if y.ndim == 4 else y


def tensor_form(interpreter: Any, path: Path) -> TensorForm:  # noqa: ANN401
    """Return the form of an opened file.

    Raises:
        DataError: the file does not have one 4-D float32 or int8 input and one output.
    """
    inputs = interpreter.get_input_details()
    shapes = [tuple(value["shape"]) for value in inputs]
    batch, height, width, channels = require_one_input(shapes, path)
    if inputs[0]["dtype"] not in (np.float32, np.int8):
        dtype = np.dtype(inputs[0]["dtype"])
        msg = f"{path} must have a float32 or int8 input; it has {dtype}. Export it again."
        raise DataError(msg)
    outputs = interpreter.get_output_details()
    require_one_output([output["name"] for output in outputs], path)
    return TensorForm(
        input_shape=(batch, channels, height, width),
        given=inputs[0],
        answer=outputs[0],
    )


class TfliteSession(Session):
    """An interpreter with allocated tensors; conversion from and to integers is not timed."""

    def __init__(self, path: Path, threads: int) -> None:
        self._interpreter = open_interpreter(path, threads)
        self._form = tensor_form(self._interpreter, path)
        self.input_shape = self._form.input_shape

    def prepare(self, x: Floats) -> None:
        """Bind an input; see `Session.prepare`."""
        self._interpreter.set_tensor(self._form.given["index"], self._form.encode(x))

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._interpreter.invoke()

    def output(self) -> Floats:
        """Return a copy of the last output; see `Session.output`."""
        return self._form.decode(self._interpreter.get_tensor(self._form.answer["index"]))

    def packed(self, x: Floats) -> bytes:
        """Return an input as the raw tensor of the file; see `Session.packed`."""
        return self._form.encode(x).tobytes()

    def unpacked(self, raw: bytes) -> Floats:
        """Return a raw output as floats; see `Session.unpacked`."""
        return self._form.decode(self._form.raw(raw))
