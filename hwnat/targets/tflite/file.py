"""The builder of a TFLite flatbuffer from tensors, constants and operators."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

_TYPES: Final = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
}

#: Operators that apply an activation to their results.
_FUSING: Final = frozenset(
    {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "DIV"),
        *("AVERAGE_POOL_2D", "MAX_POOL_2D"),
    }
)


class FileBuilder:
    """Collects one graph; `kinds` lists its operators in the order they run.

    Args:
        versions: operator -> version, for operators that need a later version than 1.
    """

    def __init__(self, versions: Mapping[str, int] | None = None) -> None:
        self.kinds: list[str] = []
        self._versions = dict(versions or {})
        self._codes: list[str] = []
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 stands for "no constant"
        self._operators: list[Any] = []
        self._producers: dict[int, Any] = {}

    def tensor(self, shape: Sequence[int], name: str, *, dtype: str = "float32") -> int:
        """Declare a tensor that an operator or the caller fills; return the tensor's index."""
        tensor = schema.TensorT()
        tensor.shape, tensor.name, tensor.type = list(shape), name, _TYPES[dtype]
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, values: npt.NDArray[Any]) -> int:
        """Store values of a type that a file has; return the tensor's index."""
        index = self.tensor(values.shape, f"constant_{len(self._tensors)}", dtype=str(values.dtype))
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._tensors[index].buffer = len(self._buffers)
        self._buffers.append(buffer)
        return index

    def scalar(self, value: float) -> int:
        """Store one float; return the tensor's index."""
        return self.constant(np.array([value], np.float32))

    def quantise(
        self, tensor: int, scales: npt.ArrayLike, *, zero_point: int = 0, axis: int = 0
    ) -> None:
        """Set the quantisation of a tensor: value = scale * (integer - zero point).

        Args:
            tensor: index of the tensor; a float tensor becomes an int8 tensor.
            scales: one scale, or one for each position along `axis`.
            zero_point: zero point for all scales.
            axis: axis along which the scales differ.
        """
        parameters = schema.QuantizationParametersT()
        parameters.scale = np.atleast_1d(np.asarray(scales, np.float32))
        parameters.zeroPoint = np.full(len(parameters.scale), zero_point, np.int64)
        parameters.quantizedDimension = axis
        declared = self._tensors[tensor]
        declared.quantization = parameters
        if declared.type == schema.TensorType.FLOAT32:
            declared.type = schema.TensorType.INT8

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: str,
        *,
        dtype: str = "float32",
        **fields: int,
    ) -> int:
        """Append an operator; return the index of its output, a tensor of `shape`.

        Args:
            kind: builtin operator, such as CONV_2D.
            inputs: indices of the input tensors.
            shape: shape of the output in the file's layout.
            options: name of the operator's options table, such as Conv2DOptions.
            dtype: type of the output.
            **fields: fields of that table.
        """
        if kind not in self._codes:
            self._codes.append(kind)
        output = self.tensor(shape, f"{kind.lower()}_{len(self.kinds)}", dtype=dtype)
        op = schema.OperatorT()
        op.opcodeIndex = self._codes.index(kind)
        op.inputs, op.outputs = list(inputs), [output]
        op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        op.builtinOptions = getattr(schema, options + "T", lambda: None)()  # NONE has no table
        for name, value in fields.items():
            setattr(op.builtinOptions, name, value)
        self.kinds.append(kind)
        self._operators.append(op)
        self._producers[output] = op
        return output

    def fuse(self, tensor: int, activation: str) -> bool:
        """Fuse RELU or RELU6 into the operator that computes `tensor`; return whether it can.

        XNNPACK ignores an activation that is fused into an operator of another kind.
        """
        if getattr(self._producers.get(tensor), "opcodeIndex", None) not in {
            index for index, kind in enumerate(self._codes) if kind in _FUSING
        }:
            return False
        options: Any = getattr(self._producers.get(tensor), "builtinOptions", None)
        if getattr(options, "fusedActivationFunction", None) != 0:
            return False
        options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
        return True

    def rename(self, tensor: int, name: str) -> None:
        """Name a tensor, such as an output."""
        self._tensors[tensor].name = name

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file; equal graphs give equal bytes."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs, graph.name = list(inputs), list(outputs), "main"
        model = schema.ModelT()
        model.version, model.description = 3, "hwnat"
        model.operatorCodes = [_code(kind, self._versions.get(kind, 1)) for kind in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        return packed(model)


def packed(model: Any) -> bytes:  # noqa: ANN401 - generated code has no types
    """Return a model of the schema's object API as a file; equal models give equal bytes."""
    builder = _AlignedBuilder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def type_number(dtype: str) -> int:
    """Return the number of a NumPy type in a file."""
    return int(_TYPES[dtype])


def _code(kind: str, version: int) -> Any:  # noqa: ANN401 - generated code has no types
    code = schema.OperatorCodeT()
    code.version = version
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # read by runtimes before 2020
    return code


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns constants to 16 bytes, which the schema requires and the generated code omits."""

    def StartVector(self, elem_size: int, count: int, alignment: int) -> int:
        """Start a vector; only constants are vectors of bytes."""
        return int(super().StartVector(elem_size, count, 16 if elem_size == 1 else alignment))
