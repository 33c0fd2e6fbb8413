"""The operators and constants of a float TFLite file that this package wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

_DTYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT32: np.int32}
_KINDS = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatOp:
    """One operator; its tensors are given by index.

    Attributes:
        table: name of its options table; `options` holds the fields of that table.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    table: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatModel:
    """A file with one input and one output.

    Attributes:
        shapes: shapes of all tensors.
        constants: index of a tensor -> its stored values.
        source: index of the input.
        result: index of the output.
    """

    operators: tuple[FloatOp, ...]
    shapes: tuple[tuple[int, ...], ...]
    constants: Mapping[int, npt.NDArray[Any]]
    source: int
    result: int


def read_graph(content: bytes) -> FloatModel:
    """Return the graph of a file written by `hwnat.targets.tflite.writer`."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    shapes = tuple(tuple(map(int, tensor.shape)) for tensor in graph.tensors)
    constants = {}
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None:
            values = np.asarray(data, np.uint8).view(_DTYPES[tensor.type])
            constants[index] = values.reshape(shapes[index])
    operators = []
    for op in graph.operators:
        options = op.builtinOptions
        operators.append(
            FloatOp(
                kind=_KINDS[model.operatorCodes[op.opcodeIndex].builtinCode],
                inputs=tuple(map(int, op.inputs)),
                output=int(op.outputs[0]),
                table="NONE" if options is None else type(options).__name__.removesuffix("T"),
                options={} if options is None else vars(options),
            )
        )
    return FloatModel(
        operators=tuple(operators),
        shapes=shapes,
        constants=constants,
        source=int(graph.inputs[0]),
        result=int(graph.outputs[0]),
    )
