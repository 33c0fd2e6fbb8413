"""Interpreters of LiteRT or tflite-runtime, and the layout of their inputs and outputs."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.records.artifact import Layout, Shape
from hwnat.targets.base import (
    Feed,
    Floats,
    Session,
    check_input,
    only_output,
    to_layout,
    to_nchw,
)
from hwnat.targets.inputs import (
    INTEGERS,
    TensorSpec,
    check_feed,
    image_shape,
    index_bounds,
    require_fixed_shapes,
    tensor_spec,
)
from hwnat.targets.limits import check_operators, check_tensor, reading
from hwnat.targets.trace import Node

#: (package, module of its interpreter), in order of preference.
RUNTIMES: Final = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)
#: Operator -> its inputs of the indexed table and of the indices.
_INDEXING: Final = {"GATHER": (0, 1), "GATHER_ND": (0, 1), "EMBEDDING_LOOKUP": (1, 0)}


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
    runtime, size = runtime_in_use()[1], path.stat().st_size
    with reading(path, "TFLite"):
        interpreter = runtime(model_path=str(path), num_threads=threads)
        tensors = interpreter.get_tensor_details()
        check_operators(len(interpreter._get_ops_details()), path)
        for tensor in tensors:
            item_bytes = np.dtype(tensor["dtype"]).itemsize
            if item_bytes * int(np.prod(tensor["shape"], dtype=object)) > size:  # not stored
                check_tensor(tensor["name"], tensor["shape"], path, item_bytes=item_bytes)
        interpreter.allocate_tensors()
    return interpreter


def signature_of(interpreter: Any, path: Path) -> tuple[TensorSpec, ...]:  # noqa: ANN401
    """Return the inputs of an opened file.

    Raises:
        DataError: the shape of an input is not fixed, or its type cannot be drawn.
    """
    given = interpreter.get_input_details()
    require_fixed_shapes({str(tensor["name"]): file_sizes(tensor) for tensor in given}, path)
    types = [np.dtype(tensor["dtype"]).name for tensor in given]
    plain = [not quantised(tensor) for tensor in given]
    wide = any(kind in INTEGERS and is_plain for kind, is_plain in zip(types, plain, strict=True))
    bounds = _bounds(interpreter) if wide else {}
    return tuple(
        tensor_spec(
            str(tensor["name"]),
            tensor["shape"].tolist(),
            dtype,
            path,
            high=bounds.get(str(tensor["index"])) if is_plain else None,
        )
        for tensor, dtype, is_plain in zip(given, types, plain, strict=True)
    )


def file_sizes(tensor: Mapping[str, Any]) -> list[int | None]:
    """Return the sizes of a tensor as the file states them; None for those that are not fixed."""
    sizes: list[int | None] = tensor["shape"].tolist()
    stated = tensor["shape_signature"].tolist()
    if len(sizes) != len(stated):
        return sizes
    return [size if known > 0 else None for size, known in zip(sizes, stated, strict=True)]


def quantised(tensor: Mapping[str, Any]) -> bool:
    """Whether the integers of a tensor stand for floats."""
    return bool(tensor["quantization"][0])


def _bounds(interpreter: Any) -> dict[str, int]:  # noqa: ANN401
    """Return exclusive upper bounds of the values that index something, by tensor number."""
    details = interpreter._get_ops_details()
    shapes = {t["index"]: t["shape"].tolist() for t in interpreter.get_tensor_details()}
    nodes, sizes = [], {}
    for at, op in enumerate(details):
        given = [int(index) for index in op["inputs"] if index >= 0]
        nodes.append(
            Node(
                name=str(at),
                kind=str(op["op_name"]),
                inputs=tuple(map(str, given)),
                outputs=tuple(map(str, op["outputs"])),
            )
        )
        table, indices = _INDEXING.get(op["op_name"], (-1, -1))
        if len(given) > max(table, indices) >= 0 and (shape := shapes.get(given[table])):
            # The interpreter does not report the axis.
            first = op["op_name"] == "EMBEDDING_LOOKUP"
            sizes[str(at)] = {str(given[indices]): shape[0] if first else min(shape)}
    return index_bounds(nodes, sizes)


class TfliteSession(Session):
    """An interpreter with allocated tensors; conversion from and to integers is not timed."""

    layout: Layout = "NHWC"

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        self._interpreter = open_interpreter(path, threads)
        self.signature = signature_of(self._interpreter, path)
        self._given = self._interpreter.get_input_details()
        self._wanted = self._interpreter.get_output_details()

    @property
    def input_shape(self) -> Shape:
        """Shape of the only input as NCHW; see `Session.input_shape`."""
        return tflite_image(self.signature, self.path)

    def bind(self, feed: Feed) -> None:
        """Bind the inputs; see `Session.bind`."""
        arrays = check_feed(feed, self.signature, self.path)
        for tensor, array in zip(self._given, arrays, strict=True):
            self._interpreter.set_tensor(tensor["index"], array)

    def invoke(self) -> None:
        """Run once; see `Session.invoke`."""
        self._interpreter.invoke()

    def outputs(self) -> list[npt.NDArray[Any]]:
        """Return copies of the last outputs; see `Session.outputs`."""
        return [self._interpreter.get_tensor(tensor["index"]) for tensor in self._wanted]

    def prepare(self, x: Floats) -> None:
        """Bind an image; see `Session.prepare`."""
        self.bind([encoded(check_input(x, self.input_shape), self._given[0])])

    def output(self) -> Floats:
        """Return the only output as floats; see `Session.output`."""
        return decoded(only_output(self.outputs(), self.path), self._wanted[0])


def tflite_image(signature: Sequence[TensorSpec], path: Path) -> Shape:
    """Return the shape of the only input, an image of floats or of quantised integers.

    Raises:
        DataError: the file has other inputs.
    """
    return image_shape(signature, path, layout="NHWC", types=("float32", "int8"))


def encoded(x: Floats, given: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return an NCHW image as the input tensor that the interpreter describes."""
    nhwc = to_layout(x, "NHWC")
    if given["dtype"] == np.int8:
        scale, zero_point = given["quantization"]
        nhwc = np.clip(np.round(nhwc / scale) + zero_point, -128, 127).astype(np.int8)
    return nhwc


def decoded(y: npt.NDArray[Any], wanted: Mapping[str, Any]) -> Floats:
    """Return an output tensor as (batch, classes) or NCHW floats."""
    if quantised(wanted):
        scale, zero_point = wanted["quantization"]
        y = np.float32(scale) * (y.astype(np.float32) - zero_point)
    return to_nchw(y.astype(np.float32), "NHWC")
