"""An INT8 TFLite file of a PyTorch module: static full-integer quantisation after training.

The float file is written first. LiteRT runs it on the calibration inputs and keeps every tensor, so
the ranges cover all that the file computes, including the parts of a module and fused activations.
Then each operator is rewritten for integers. Activations are int8 with one scale and zero point,
biases are int32, and weights are symmetric int8 with a scale for each output channel. Fully
connected layers have a single scale, because older runtimes refuse the version with several.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, 2018; restrictions as in TensorFlow Lite's 8-bit specification.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.base import Floats
from hwnat.targets.tflite.file import FileBuilder
from hwnat.targets.tflite.graph import FloatModel, FloatOp, read_graph
from hwnat.targets.tflite.ranges import Range, calibration_inputs, find_ranges
from hwnat.targets.tflite.writer import lower

#: Operator versions with INT8 kernels that every runtime in use supports.
_VERSIONS: Final = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    **dict.fromkeys(("ADD", "MUL", "MEAN", "PAD", "SLICE", "RELU", "RELU6", "LOGISTIC"), 2),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), 2),
}
_FUSED_NONE, _FUSED_RELU6 = 0, 3
#: Biases of a larger magnitude could overflow a 32-bit sum.
_LARGEST_BIAS: Final = float(1 << 30)


def write_int8(
    module: nn.Module,
    input_shape: Shape,
    path: Path,
    *,
    calibration: Floats | None = None,
    split_depthwise: bool = True,
    native_hswish: bool = False,
) -> dict[str, int]:
    """Write `module`, which is in evaluation mode, with int8 input and output; return its counts.

    Args:
        module: the module to write; it is not changed.
        input_shape: (batch, channels, height, width).
        path: the file to write.
        calibration: (n, channels, height, width) float32 inputs that represent the deployed ones,
            where n is a multiple of the batch. None draws normally distributed inputs, which
            suits untrained modules.
        split_depthwise: see `hwnat.targets.tflite.writer.write_tflite`.
        native_hswish: write HARD_SWISH, a table look-up on Ethos-U, instead of ADD and MUL.
            XNNPACK has no HARD_SWISH for integers.

    Raises:
        UsageError: the module contains an operation that cannot be written or quantised.
        DataError: the calibration inputs do not match the module, or are not finite.
    """
    content, origins = lower(module, input_shape, split_depthwise=split_depthwise)
    places = [[_named(module, place) for place in nodes] for _, nodes in origins]
    inputs = calibration_inputs(calibration, input_shape)
    ranges = find_ranges(content, inputs)
    quantiser = _Quantiser(read_graph(content), ranges, places, native_hswish=native_hswish)
    path.write_bytes(quantiser.run())
    kinds = quantiser.out.kinds
    return {"operators": len(kinds), "transposes": 0, "calibration": len(inputs)}


def _named(module: nn.Module, place: str) -> str:
    """Return the name in the module of a node of the trace."""
    for name, part in module.named_modules():
        if name and re.sub(r"^(?=\d)", "_", name.replace(".", "_")) == place:
            return f"{type(part).__name__} at '{name}'"
    return f"'{place}'"


@dataclass(frozen=True, slots=True)
class _Tensor:
    """An integer tensor that represents a float tensor.

    Attributes:
        index: index in the new file.
        factor: ratio of the stored values to the values of the float tensor.
    """

    index: int
    scale: float
    zero_point: int
    factor: float = 1.0


class _Quantiser:
    """Visits a float graph once and appends the integer operators to a new file.

    A product with a positive constant, such as the 1/6 of a hard sigmoid, is not computed. It
    becomes a factor of the tensor, passes through linear operators and ends in the scales of the
    next weights. Where that is impossible, the product is computed.
    """

    def __init__(
        self,
        graph: FloatModel,
        ranges: Mapping[int, Range],
        places: Sequence[Sequence[str]],
        *,
        native_hswish: bool,
    ) -> None:
        self.graph, self.ranges, self.places = graph, ranges, places
        self.native_hswish = native_hswish
        self.out = FileBuilder(_VERSIONS)
        self.made: dict[int, _Tensor] = {}
        self._plain: dict[int, _Tensor] = {}

    def run(self) -> bytes:
        """Return the new file."""
        source = self.graph.source
        index = self.out.tensor(self.graph.shapes[source], "input")
        self.made[source] = self._declare(index, self.ranges[source])
        for position, op in enumerate(self.graph.operators):
            rule = _RULES.get(op.kind)
            if rule is None or self._is_grouped(op):
                raise self._refusal(position, op)
            self.made[op.output] = rule(self, op)
        result = self.plain(self.graph.result)
        return self.out.finish([index], [result.index])

    def _is_grouped(self, op: FloatOp) -> bool:
        """Whether an operator is a grouped convolution, which few INT8 runtimes support."""
        if op.kind != "CONV_2D":
            return False
        shapes = self.graph.shapes
        return shapes[op.inputs[0]][3] != shapes[op.inputs[1]][3]

    def _refusal(self, position: int, op: FloatOp) -> UsageError:
        where = ", ".join(self.places[position])
        kind = f"grouped {op.kind}" if op.kind in _RULES else op.kind
        what = f"{kind} (of {where})" if where else kind
        known = ", ".join(_RULES)
        return UsageError(
            f"No INT8 form: {what} cannot be quantised; these can: {known}. Export it as fp32 to "
            "tflite, onnx or openvino instead."
        )

    def _declare(self, index: int, values: Range, factor: float = 1.0) -> _Tensor:
        """Give a new tensor the scale that spans a range of values and zero."""
        low, high = min(0.0, factor * values[0]), max(0.0, factor * values[1])
        scale = float(np.float32((high - low) / 255 or 1 / 255))
        zero_point = round(max(-128.0, min(127.0, -128 - low / scale)))
        self.out.quantise(index, scale, zero_point=zero_point)
        return _Tensor(index, scale, zero_point, factor)

    def add(self, op: FloatOp, inputs: Sequence[int], factor: float = 1.0) -> _Tensor:
        """Append an operator like `op`, with the scale of its output taken from its range."""
        shape = self.graph.shapes[op.output]
        index = self.out.add(op.kind, inputs, shape, op.table, **op.options)
        return self._declare(index, self.ranges[op.output], factor)

    def plain(self, tensor: int) -> _Tensor:
        """Return a float tensor's integer tensor with factor 1; compute the product if needed."""
        made = self.made[tensor]
        if made.factor == 1:
            return made
        if tensor not in self._plain:
            constant = self._constant(np.array([1 / made.factor], np.float32))
            index = self._binary("MUL", made.index, constant, self.graph.shapes[tensor])
            self._plain[tensor] = self._declare(index, self.ranges[tensor])
        return self._plain[tensor]

    def _binary(
        self, kind: str, left: int, right: int, shape: Sequence[int], fused: int = 0
    ) -> int:
        options = f"{kind.capitalize()}Options"
        return self.out.add(kind, [left, right], shape, options, fusedActivationFunction=fused)

    def _constant(self, values: Floats) -> int:
        """Store an operand with symmetric quantisation."""
        scale = float(np.abs(values).max() / 127) or 1 / 127
        index = self.out.constant(np.round(values / scale).astype(np.int8))
        self.out.quantise(index, scale)
        return index

    def weighted(self, op: FloatOp) -> _Tensor:
        """Write a convolution or a fully connected layer."""
        x, weight, bias = op.inputs
        source = self.made[x]
        values, offsets = self.graph.constants[weight], self.graph.constants[bias]
        axis = 3 if op.kind == "DEPTHWISE_CONV_2D" else 0
        others = tuple(i for i in range(values.ndim) if i != axis)
        largest = np.abs(values).max(axis=others).astype(np.float64)
        if op.kind == "FULLY_CONNECTED":
            largest = np.full_like(largest, largest.max())
        # A channel with tiny weights needs a larger scale, or its bias would overflow.
        step = source.scale / source.factor
        least = np.abs(offsets) / (step * _LARGEST_BIAS)
        scales = np.maximum(np.maximum(largest / 127, least), np.finfo(np.float32).tiny * 1e6)
        wide = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        stored = self.out.constant(np.clip(np.round(values / wide), -127, 127).astype(np.int8))
        declared = scales / source.factor
        one = op.kind == "FULLY_CONNECTED"
        self.out.quantise(stored, declared[:1] if one else declared, axis=axis)
        steps = source.scale * declared
        added = self.out.constant(np.round(offsets / steps).astype(np.int32))
        self.out.quantise(added, steps[:1] if one else steps)
        return self.add(op, [source.index, stored, added])

    def product(self, op: FloatOp) -> _Tensor:
        """Write a product; a product with a positive constant becomes a factor."""
        left, right = op.inputs
        if left in self.graph.constants:
            left, right = right, left
        fused = op.options["fusedActivationFunction"] != _FUSED_NONE
        constant = self.graph.constants.get(right)
        if constant is None:
            one, two = (self.plain(i) if fused else self.made[i] for i in (left, right))
            return self.add(op, [one.index, two.index], one.factor * two.factor)
        if constant.size == 1 and constant.item() > 0 and not fused:
            source = self.made[left]
            factor = source.factor / float(constant.item())
            return _Tensor(source.index, source.scale, source.zero_point, factor)
        return self.add(op, [self.plain(left).index, self._constant(constant)])

    def total(self, op: FloatOp) -> _Tensor:
        """Write a sum."""
        inputs = [
            self._constant(self.graph.constants[i])
            if i in self.graph.constants
            else self.plain(i).index
            for i in op.inputs
        ]
        return self.add(op, inputs)

    def hswish(self, op: FloatOp) -> _Tensor:
        """Write x * relu6(x + 3), six times a hard swish, or the native operator."""
        source = self.plain(op.inputs[0])
        if self.native_hswish:
            return self.add(op, [source.index])
        shape, three = self.graph.shapes[op.output], self._constant(np.array([3], np.float32))
        gate = self._binary("ADD", source.index, three, shape, _FUSED_RELU6)
        self._declare(gate, (0.0, 6.0))
        index = self._binary("MUL", source.index, gate, shape)
        return self._declare(index, self.ranges[op.output], 6.0)

    def linear(self, op: FloatOp) -> _Tensor:
        """Write an operator that preserves a factor; its output gets its own scale."""
        source, *rest = op.inputs
        made = self.made[source]
        return self.add(op, [made.index, *self._stored(rest)], made.factor)

    def bounded(self, op: FloatOp) -> _Tensor:
        """Write an operator that needs values without a factor."""
        return self.add(op, [self.plain(op.inputs[0]).index])

    def logistic(self, op: FloatOp) -> _Tensor:
        """Write a sigmoid; the runtimes require a fixed scale for its output."""
        source = self.plain(op.inputs[0])
        index = self.out.add(op.kind, [source.index], self.graph.shapes[op.output], op.table)
        self.out.quantise(index, 1 / 256, zero_point=-128)
        return _Tensor(index, 1 / 256, -128)

    def same(self, op: FloatOp) -> _Tensor:
        """Write an operator that only moves or selects integers, so their scale is kept."""
        source, *rest = op.inputs
        made = self.made[source]
        inputs = [made.index, *self._stored(rest)]
        shape = self.graph.shapes[op.output]
        index = self.out.add(op.kind, inputs, shape, op.table, **op.options)
        self.out.quantise(index, made.scale, zero_point=made.zero_point)
        return _Tensor(index, made.scale, made.zero_point, made.factor)

    def _stored(self, tensors: Sequence[int]) -> list[int]:
        """Store sizes and axes, which are already integers."""
        return [self.out.constant(self.graph.constants[tensor]) for tensor in tensors]


#: Operators that can be quantised; INT8 kernels of pools and moves require equal scales.
_RULES: Final[dict[str, Callable[[_Quantiser, FloatOp], _Tensor]]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), _Quantiser.weighted),
    "ADD": _Quantiser.total,
    "MUL": _Quantiser.product,
    "MEAN": _Quantiser.linear,
    "RELU": _Quantiser.linear,
    "RELU6": _Quantiser.bounded,
    "HARD_SWISH": _Quantiser.hswish,
    "LOGISTIC": _Quantiser.logistic,
    **dict.fromkeys(("PAD", "SLICE", "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D"), _Quantiser.same),
}
