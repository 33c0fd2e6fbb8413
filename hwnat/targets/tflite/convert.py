"""A TFLite file from an ONNX file: imported, written, and compared with ONNX Runtime."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.targets.difference import Arrays
from hwnat.targets.limits import reading
from hwnat.targets.onnx.conversion import check_conversion
from hwnat.targets.tflite.session import open_interpreter

if TYPE_CHECKING:
    from hwnat.targets.onnx.module import Imported

REMEDY: Final = (
    "Use a table of onnx or openvino, or convert it with onnx2tf in an environment of its own (a "
    "PyTorch module with litert-torch) and give the .tflite file."
)
_FROM_LAST: Final = (0, 3, 1, 2)
_TO_LAST: Final = (0, 2, 3, 1)

#: Weights of a file; its offsets have 31 bits.
_MOST_BYTES: Final = (1 << 31) - (1 << 24)

Origins = tuple[tuple[str, tuple[str, ...]], ...]


def convert_onnx(onnx: Path, path: Path, *, split_depthwise: bool) -> "tuple[Imported, Origins]":
    """Write an ONNX file as a float TFLite file.

    Args:
        onnx: the file to convert.
        path: the file to write.
        split_depthwise: see `hwnat.targets.tflite.writer.write_tflite`.

    Returns:
        The imported network, and (kind, places in the network) of each operator of the file.

    Raises:
        DataError: the ONNX file is missing or damaged.
        UsageError: an operator has no TFLite form, or the file computes something else.
    """
    from hwnat.targets.onnx.graph import open_onnx
    from hwnat.targets.onnx.shapes import is_outside

    source = open_onnx(onnx, weights=False)
    _check_size(source.model, onnx)
    if any(map(is_outside, source.model.graph.initializer)):
        source = open_onnx(onnx)
    from hwnat.targets.onnx.module import import_onnx
    from hwnat.targets.tflite.writer import lower

    imported = import_onnx(source, onnx)
    content, origins = lower(imported.module, imported.examples, split_depthwise=split_depthwise)
    path.write_bytes(content)
    check_conversion(onnx, lambda feed: run_tflite(path, feed), remedy=REMEDY)
    return imported, origins


def _check_size(model: Any, path: Path) -> None:  # noqa: ANN401 - onnx has no types
    """Refuse a model whose weights do not fit into one flatbuffer, before they are read.

    Raises:
        UsageError: they take over `_MOST_BYTES`.
    """
    import onnx

    stored = sum(
        prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in model.graph.initializer
    )
    if stored > _MOST_BYTES:
        msg = (
            f"{path} has {stored / 1e9:.2f} GB of weights; a TFLite file of this writer holds up "
            f"to {_MOST_BYTES / 1e9:.2f} GB. Use a table of onnx or openvino."
        )
        raise UsageError(msg)


def run_tflite(path: Path, feed: Arrays) -> list[npt.NDArray[Any]]:
    """Run a file once on inputs named as in the file and return its outputs in order.

    Axes are in the order of ONNX: the file has the channels of every 4-D input and output last.

    Raises:
        DataError: the runtime refuses the file.
    """
    interpreter = open_interpreter(path, 1)
    with reading(path, "LiteRT"):
        for given in interpreter.get_input_details():
            values = feed[given["name"]]
            values = values.transpose(_TO_LAST) if values.ndim == len(_TO_LAST) else values
            interpreter.set_tensor(given["index"], np.array(values, order="C"))
        interpreter.invoke()
        results = [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]
    return [y.transpose(_FROM_LAST) if y.ndim == len(_FROM_LAST) else y for y in results]
