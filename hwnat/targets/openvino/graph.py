"""OpenVINO's graphs in ONNX terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.targets.inputs import require_fixed_shapes
from hwnat.targets.kernel import ACTIVATIONS
from hwnat.targets.limits import check_operators, check_tensor
from hwnat.targets.trace import Graph, Node

#: OpenVINO operator -> ONNX operator, where the names differ.
ONNX: Final = {
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "ConvolutionBackpropData": "ConvTranspose",
    "AvgPool": "AveragePool",
    "Multiply": "Mul",
    "Subtract": "Sub",
    "Clamp": "Clip",
    "Minimum": "Clip",
    "Maximum": "Clip",
    "HSwish": "HardSwish",
    "HSigmoid": "HardSigmoid",
    "PRelu": "PRelu",
    "MVN": "LayerNormalization",
    "RMS": "RMSNormalization",
    "SoftMax": "Softmax",
    "Interpolate": "Resize",
    "VariadicSplit": "Split",
    "Broadcast": "Expand",
    "Divide": "Div",
    "Power": "Pow",
    "Negative": "Neg",
    "Ceiling": "Ceil",
    "SoftPlus": "Softplus",
    "SoftSign": "Softsign",
    "Select": "Where",
    "GreaterEqual": "GreaterOrEqual",
    "LessEqual": "LessOrEqual",
    "LogicalAnd": "And",
    "LogicalOr": "Or",
    "LogicalNot": "Not",
    "Convert": "Cast",
    "LSTMSequence": "LSTM",
    "GRUSequence": "GRU",
    "ShuffleChannels": "ChannelShuffle",
}
#: Layer of the executable graph -> ONNX operator, where the layer's name alone decides it.
LAYERS: Final = {
    "Convolution": "Conv",
    "Deconvolution": "ConvTranspose",
    "FullyConnected": "Gemm",
    "MatMul": "MatMul",
    "MVN": "LayerNormalization",
    "Concatenation": "Concat",
    "Interpolate": "Resize",
    "Reorder": "Reorder",
    "ScaledDotProductAttention": "ScaledDotProductAttention",
}
ELEMENTWISE: Final = frozenset(
    {"Add", "Mul", "Sub", "Div", "Pow", "Sqrt", "Exp", "Log", "Abs", "Neg", "Cast", *ACTIVATIONS}
)
#: OpenVINO's element type -> data type in a key.
TYPES: Final = {
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "f64": "float64",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "u16": "uint16",
    "i32": "int32",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "boolean": "bool",
}


def input_name(value: Any) -> str:  # noqa: ANN401 - OpenVINO has no types here
    """Return the name of a model's input; the first one if it has several."""
    return str(min(value.names, default=value.get_node().get_friendly_name()))


def input_sizes(model: Any) -> dict[str, list[int | None]]:  # noqa: ANN401
    """Return the sizes of each input by name; None for those that are not fixed."""
    return {
        input_name(value): [
            side.get_length() if side.is_static else None for side in value.partial_shape
        ]
        if value.partial_shape.rank.is_static
        else [None]
        for value in model.inputs
    }


def require_fixed(model: Any, path: Path) -> None:  # noqa: ANN401 - OpenVINO has no types here
    """Refuse dynamic shapes, control flow, and models over a limit.

    Raises:
        DataError: the model has one of these; the message names it.
    """
    require_fixed_shapes(input_sizes(model), path)
    nodes = model.get_ordered_ops()
    check_operators(sum(node.get_type_name() != "Constant" for node in nodes), path)
    for node in nodes:
        name = node.get_friendly_name()
        if node.get_type_name() in ("If", "Loop", "TensorIterator"):
            msg = (
                f"{path} cannot be traced: {node.get_type_name()} at '{name}' (control flow: its "
                "work is not fixed). Export the network without it."
            )
            raise DataError(msg)
        for value in node.outputs() if node.get_type_name() != "Constant" else ():
            if value.partial_shape.is_static:
                check_tensor(name, value.shape, path)


def graph_of(model: Any) -> Graph:  # noqa: ANN401
    """Return the nodes of an OpenVINO model; values are named after their nodes."""
    nodes, constants, results = [], [], []
    for node in model.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_friendly_name()
        inputs = [i.get_source_output().get_node().get_friendly_name() for i in node.inputs()]
        if kind == "Result":
            results += inputs
        elif kind == "Constant":
            constants.append(name)
        elif kind != "Parameter":
            nodes.append(Node(name=name, kind=kind, inputs=tuple(inputs), outputs=(name,)))
    return Graph(nodes, results=results, constants=constants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One node of the executable graph.

    Attributes:
        kernel: the plug-in's primitive; it ends with the type in which it computes.
        types: data types of the inputs, then that of the output.
    """

    name: str
    kind: str
    kernel: str
    types: tuple[str, ...]
    parts: tuple[str, ...]
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    output: tuple[int, ...]


def parts_of(text: str, known: Mapping[str, object]) -> tuple[str, ...]:
    """Split a list of layer names at its commas, but not at those of a known name."""
    words, parts = text.split(","), []
    while words:
        ends = (n for n in range(len(words), 1, -1) if ",".join(words[:n]) in known)
        taken = next(ends, 1)
        parts.append(",".join(words[:taken]))
        del words[:taken]
    return tuple(filter(None, parts))


def written_out(parts: list[tuple[str, str]], kinds: set[str]) -> list[tuple[str, str]]:
    """Recognise an activation that the file spells out as a product with Erf or Sigmoid."""
    for sign, act in (("Erf", "Gelu"), ("Sigmoid", "Swish")):
        product = [part for part in parts if part[1] == "Mul"]
        if sign in kinds and product:
            rest = [part for part in parts if part not in product and part[1] != sign]
            return [*rest, (product[-1][0], act)]
    return parts


def tail_of(loose: list[str], *, rooted: bool, sums: int) -> int:
    """Count the element-wise parts except the bias, the shortcut and one activation."""
    acts = sum(kind in ACTIVATIONS for kind in loose)
    others = len(loose) - acts
    if rooted:
        adds = loose.count("Add") - sums
        others -= sums + min(1, max(0, adds))
    return max(0, others) + max(0, acts - 1)
