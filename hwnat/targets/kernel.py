"""The operation key of one executed kernel, by the same rules for every runtime.

A front end describes each kernel as a `Call` in ONNX terms. A kernel that the grammar of keys does
not describe gets an opaque key, because a guessed key would be priced as if it were certain.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Final, get_args

from hwnat.errors import DataError
from hwnat.records.kinds import Activation, DType
from hwnat.records.op import LARGEST, OpSpec

Sizes = tuple[int, ...]
Nhwc = tuple[int, int, int, int]

#: Operator of ONNX or com.microsoft -> activation. Every clamp maps to relu6, whatever its bounds.
ACTIVATIONS: Final[dict[str, Activation]] = {
    "Relu": "relu",
    "Clip": "relu6",
    "LeakyRelu": "leakyrelu",
    "PRelu": "prelu",
    "Elu": "elu",
    "HardSwish": "hswish",
    "HardSigmoid": "hsigmoid",
    "Swish": "swish",
    "QuickGelu": "swish",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Gelu": "gelu",
    "FastGelu": "gelu",
    "BiasGelu": "gelu",
    "Mish": "mish",
}
#: Quantised operator -> operator of the same work on other types.
QUANTISED: Final = {
    "QLinearConv": "Conv",
    "ConvInteger": "Conv",
    "QLinearMatMul": "MatMul",
    "MatMulInteger": "MatMul",
    "QGemm": "Gemm",
    "QLinearAdd": "Add",
    "QLinearMul": "Mul",
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSoftmax": "Softmax",
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearReduceMean": "ReduceMean",
    "QLinearConcat": "Concat",
    "NhwcMaxPool": "MaxPool",
}
#: Operators that return their input's data, possibly under another shape.
VIEWS: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
_ARITHMETIC: Final[dict[str, str]] = {
    "Add": "add",
    "Sum": "add",
    "Sub": "add",
    "Mul": "mul",
    "Div": "div",
}
#: Element-wise operator -> mode of a `unary` or `binary` operation.
_UNARY: Final = {
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "Neg": "neg",
    "Not": "not",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Rsqrt": "rsqrt",
    "Sign": "sign",
    "Sin": "sin",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Square": "square",
}
_BINARY: Final = {
    "Pow": "pow",
    "Mod": "mod",
    "And": "and",
    "Or": "or",
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater",
    "Less": "less",
    "LessOrEqual": "less",
    "Max": "max",
    "Min": "min",
    "Where": "where",
    "SquaredDifference": "sqdiff",
}
_REDUCTIONS: Final = {
    "ReduceMean": "avg",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceSum": "sum",
    "ReduceProd": "prod",
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceSumSquare": "sumsquare",
    "ReduceLogSum": "logsum",
    "ReduceLogSumExp": "logsumexp",
    "ArgMax": "argmax",
    "ArgMin": "argmin",
}
_CASTS: Final = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
_GATHERS: Final = frozenset({"Gather", "GatherElements", "GatherND"})
_NORMS: Final[dict[str, str]] = {
    "LayerNormalization": "layer",
    "SkipLayerNormalization": "layer",
    "SimplifiedLayerNormalization": "rms",
    "RMSNormalization": "rms",
    "GroupNormalization": "group",
    "GroupNorm": "group",
    "InstanceNormalization": "instance",
    "BatchNormalization": "batch",
}
_MOVES: Final = frozenset(
    {"Transpose", "Pad", "Slice", "StridedSlice", "Split"}
    | {"Expand", "Tile", "ScatterND", "DepthToSpace", "SpaceToDepth", "ChannelShuffle"}
    | {"ReorderInput", "ReorderOutput", "Reorder"}
    | VIEWS  # where the runtime copies them all the same
)
_WINDOWS: Final = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"}
)
_IMAGES: Final = frozenset({*_WINDOWS, "Resize", "Upsample"})
_TYPES: Final = frozenset(get_args(DType)) - {"other"}
#: Kinds whose key may hold the type of the weights.
_HELD_WEIGHTS: Final = frozenset({"conv", "dwconv", "deconv", "linear", "lstm", "gru"})
#: Longest list of operators in an opaque key.
_LABEL: Final = 40
_MATRICES: Final = frozenset({"Gemm", "MatMul", "FusedMatMul", "FusedGemm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One kernel in ONNX terms.

    Attributes:
        kind: ONNX operator.
        inputs: shapes of the computed operands, without constants.
        output: shape of the first output.
        batch: images per run.
        nhwc: whether 4-D shapes are NHWC instead of NCHW.
        attributes: kernel (h, w), strides, dilations, group, axis, alpha, mode, heads, hidden_size,
            direction.
        weight: shape of the constant operand with weights, if there is one.
        weights: type of the weights, if there are any.
        out_dtype: type of the first output, if it is known.
        act: activation fused after the operator.
        residual: whether another computed tensor of the output's shape is added.
        tail: number of further element-wise operations fused after the operator.
        dtype: type of the computed values.
        label: the runtime's operators in this kernel, for an opaque key; `kind` if empty.
        detail: everything else that determines the work, as text: attributes, shapes and types of
            all operands and results, and the values of small integer constants. It holds no names
            and no weights, so that equal work has an equal opaque key.
    """

    kind: str
    inputs: tuple[Sizes, ...]
    output: Sizes
    batch: int
    nhwc: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    weight: Sizes | None = None
    act: str = ""
    residual: bool = False
    tail: int = 0
    dtype: str = "float32"
    weights: str = ""
    out_dtype: str = ""
    label: str = ""
    detail: tuple[str, ...] = ()


def to_op(call: Call) -> tuple[OpSpec, str]:
    """Return the operation of a kernel, and why it is opaque; the reason is empty if it is not."""
    described = _described(call)
    if isinstance(described, str):
        return opaque(call), described
    return described, ""


def opaque(call: Call) -> OpSpec:
    """Return the opaque operation of a kernel; kernels with equal work have the same."""
    attributes = sorted((name, _plain(value)) for name, value in call.attributes.items())
    operands = (call.kind, call.inputs, call.output, call.nhwc, call.weight, call.dtype)
    types = (call.weights, call.out_dtype)
    fused = (call.act, call.residual, call.tail, call.label, call.detail)
    label = re.sub(r"[^A-Za-z0-9-]+", "", call.label or call.kind)[:_LABEL].strip("-") or "kernel"
    digest = hashlib.sha256(repr((operands, types, fused, attributes)).encode()).hexdigest()[:16]
    shape = call.inputs[0] if call.inputs else ()
    sizes = (1, 1, 1, 1, *shape)
    four = (prod(sizes[: len(sizes) - 3]), *sizes[-3:])
    return OpSpec(
        kind="opaque",
        in_shape=tuple(min(max(1, size), LARGEST) for size in four),  # type: ignore[arg-type]
        form=f"{label}.{digest}",
        dtype=call.dtype if call.dtype in get_args(DType) else "other",  # type: ignore[arg-type]
    )


def _plain(value: object) -> object:
    """Return an attribute's value in a form whose `repr` is the same in every run."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if isinstance(value, (list, tuple, range)):
        return tuple(map(_plain, value))
    return str(value)


def _described(call: Call) -> OpSpec | str:
    """Return the operation of a kernel, or the reason why no key but an opaque one describes it."""
    if call.dtype not in _TYPES:
        return f"{call.kind} computes in {call.dtype}, a type that keys do not know"
    shapes = (*call.inputs, call.output)
    if not (call.inputs and all(shape and min(shape) > 0 for shape in shapes)):
        return f"{call.kind} has no computed input of known size"
    if call.kind in _WINDOWS and {len(call.inputs[0]), len(call.output)} == {3}:
        call = _as_image(call)
    if call.act and call.act not in ACTIVATIONS:
        return f"{call.kind} is fused with {call.act}, an activation that keys do not know"
    if call.kind in _IMAGES and {len(call.inputs[0]), len(call.output)} != {4}:
        return f"{call.kind} of {call.inputs[0]}: keys know images only, of four axes"
    rule = _RULES.get(call.kind)
    if rule is None:
        return f"operator {call.kind} has no operation kind"
    try:
        return rule(call)
    except DataError as error:
        return str(error)


def _op(call: Call, kind: str, x: Nhwc, y: Nhwc | None = None, **fields: Any) -> OpSpec:  # noqa: ANN401
    """Build an operation; set `out_hw` only where the stride does not imply the output's size."""
    stride = fields.get("stride", 1)
    across = fields.get("stride_w", stride)
    if y is not None and y[1:3] != ((x[1] - 1) // stride + 1, (x[2] - 1) // across + 1):
        fields["out_hw"] = y[1:3]
    fields |= {"act": ACTIVATIONS[call.act]} if call.act else {}
    fields |= {"residual": True} if call.residual else {}
    fields |= {"tail": call.tail} if call.tail else {}
    if call.weights not in ("", call.dtype) and kind in _HELD_WEIGHTS:
        fields |= {"weights": call.weights}
    return OpSpec(kind=kind, in_shape=x, dtype=call.dtype, **fields)  # type: ignore[arg-type]


def _as_image(call: Call) -> Call:
    """Return a one-dimensional operator as one on images of height 1."""
    place = 1 if call.nhwc else 2

    def higher(shape: Sizes) -> Sizes:
        return (*shape[:place], 1, *shape[place:])

    return replace(call, inputs=tuple(map(higher, call.inputs)), output=higher(call.output))


def image(call: Call, shape: Sizes) -> Nhwc:
    """Return an image's shape as NHWC; for other ranks the last axis holds the channels."""
    if len(shape) == 4 and not call.nhwc:
        return shape[0], shape[2], shape[3], shape[1]
    return rows(call, shape)


def rows(call: Call, shape: Sizes) -> Nhwc:
    """Return a shape of any rank as (batch, height, width, last axis), with as many elements."""
    if len(shape) == 4:
        return shape[0], shape[1], shape[2], shape[3]
    if len(shape) < 2:
        return 1, 1, 1, prod(shape)
    before, last = prod(shape[:-1]), shape[-1]
    batch = call.batch if before % call.batch == 0 else 1
    if len(shape) == 3 and shape[0] % batch == 0 and shape[0] != batch:
        return batch, shape[0] // batch, shape[1], last
    return batch, 1, before // batch, last


def _pair(call: Call, name: str) -> tuple[int, int]:
    sizes = tuple(int(size) for size in call.attributes.get(name) or ())
    if len(sizes) == 1:
        return 1, sizes[0]
    return (sizes[0], sizes[1]) if sizes else (1, 1)


def _window(call: Call) -> dict[str, Any]:
    """Return the kernel, stride and dilation of a window; the width's only where they differ."""
    kernel, strides, dilations = (_pair(call, name) for name in ("kernel", "strides", "dilations"))
    # Along an axis where the output has size 1, the stride has no effect; nor has a dilation where
    # the kernel has size 1.
    stride, across = _used(strides, image(call, call.output)[1:3])
    dilation, spread = _used(dilations, kernel) if max(kernel) > 1 else (1, 1)
    fields: dict[str, Any] = {"kernel": kernel[0], "stride": stride}
    fields |= {"stride_w": across} if across != stride else {}
    fields |= {"dilation": dilation} if dilation > 1 else {}
    fields |= {"dilation_w": spread} if spread != dilation else {}
    return fields | ({"kernel_w": kernel[1]} if kernel[1] != kernel[0] else {})


def _used(steps: tuple[int, int], sizes: Sizes) -> tuple[int, int]:
    """Return the steps along height and width; a step along a side of 1 is that of the other."""
    if sizes[0] == 1 and sizes[1] > 1:
        return steps[1], steps[1]
    return (steps[0], steps[0]) if sizes[1] == 1 else steps


def _conv(call: Call) -> OpSpec | str:
    if call.weight is None:
        return f"{call.kind} has weights that are computed"
    x, y = image(call, call.inputs[0]), image(call, call.output)
    fields, group = _window(call), int(call.attributes.get("group", 1))
    kind = "deconv" if call.kind == "ConvTranspose" else "conv"
    if kind == "conv" and group == x[3] > 1 and y[3] % x[3] == 0:
        kind = "dwconv"
    elif group > 1:
        fields["groups"] = group
    return _op(call, kind, x, y, out_channels=y[3], **fields)


def _matrices(call: Call) -> OpSpec | str:
    x, y = rows(call, call.inputs[0]), rows(call, call.output)
    if call.weight is not None:
        return _op(call, "linear", x, out_channels=y[3])
    if len(call.inputs) < 2:
        return f"{call.kind} multiplies a constant by a computed tensor"
    return _op(call, "matmul", x, out_channels=y[3])


def _pool(call: Call) -> OpSpec | str:
    x, y = image(call, call.inputs[0]), image(call, call.output)
    mode = "max" if "Max" in call.kind else "avg"
    if call.kind.startswith("Global"):
        return _op(call, "gpool", x, mode=mode)
    return _op(call, "pool", x, y, mode=mode, **_window(call))


def _reduce(call: Call) -> OpSpec | str:
    """Treat a mean or maximum over all axes except batch and channels as a global pool."""
    shape, mode = call.inputs[0], _REDUCTIONS[call.kind]
    if "axes" not in call.attributes:
        return f"{call.kind} has axes that are not known"
    axes = {int(axis) % len(shape) for axis in call.attributes["axes"] if len(shape)}
    channels = 1 if len(shape) == 4 and not call.nhwc else len(shape) - 1
    x = image(call, shape)
    if mode in ("avg", "max") and len(shape) > 2 and axes == set(range(1, len(shape))) - {channels}:
        return _op(call, "gpool", x, mode=mode)
    kept = image(call, tuple(1 if at in axes else size for at, size in enumerate(shape)))
    if kept[0] != x[0]:
        return f"{call.kind} of {shape} over axes {sorted(axes)} reduces the batch"
    fields: dict[str, Any] = {"out_channels": kept[3]} if kept[3] != x[3] else {}
    return _op(call, "reduce", x, kept, mode=mode, **fields)


def _elements(call: Call) -> tuple[Nhwc, dict[str, Any]]:
    """Return the shape of an element-wise result, and its operands.

    A stored operand of the full size is read like a computed one.
    """
    stored = [call.weight] if call.weight else []
    shapes = [image(call, shape) for shape in (*call.inputs, *stored)]
    widest = max((*shapes, image(call, call.output)), key=prod)
    # The small constants beside computed operands do not count.
    counted = [*shapes[: len(call.inputs)], *(s for s in shapes[len(call.inputs) :] if s == widest)]
    fields: dict[str, Any] = {"operands": len(counted)}
    if any(prod(shape) != prod(widest) for shape in counted):
        fields["broadcast"] = True
    return widest, fields


def _arithmetic(call: Call) -> OpSpec | str:
    widest, fields = _elements(call)
    return _op(call, _ARITHMETIC[call.kind], widest, **fields)


def _unary(call: Call) -> OpSpec | str:
    return _op(call, "unary", image(call, call.inputs[0]), mode=_UNARY[call.kind])


def _binary(call: Call) -> OpSpec | str:
    widest, fields = _elements(call)
    return _op(call, "binary", widest, mode=_BINARY[call.kind], **fields)


def _cast(call: Call) -> OpSpec | str:
    if call.out_dtype not in _TYPES:
        return f"{call.kind} makes {call.out_dtype or 'unknown'} values, a type keys do not know"
    if call.out_dtype == call.dtype:
        return _op(call, "move", image(call, call.inputs[0]))
    return _op(call, "cast", image(call, call.inputs[0]), weights=call.out_dtype)


def _gather(call: Call) -> OpSpec | str:
    known = replace(call, dtype=call.out_dtype or call.dtype)
    return _op(known, "gather", rows(call, call.output))


def _sdpa(call: Call) -> OpSpec | str:
    """Describe fused attention of queries, keys and values, in one of two layouts."""
    if len(call.inputs) < 3:
        return f"{call.kind} does not read queries, keys and values from three tensors"
    query, key, value = call.inputs[:3]
    heads = int(call.attributes.get("heads", 0))
    if {len(shape) for shape in (query, key, value)} == {3} and heads:
        query, key, value = ((b, heads, n, max(1, c // heads)) for b, n, c in (query, key, value))
    if {len(shape) for shape in (query, key, value)} != {4}:
        return f"{call.kind} of {query}, {key} and {value} has no known layout"
    x: Nhwc = (query[0], query[1], query[2], query[3])
    return _op(call, "sdpa", x, mid_channels=value[2], out_channels=value[3])


def _recurrent(call: Call) -> OpSpec | str:
    shape, hidden = call.inputs[0], int(call.attributes.get("hidden_size", 0))
    if len(shape) != 3 or hidden < 1:
        return f"{call.kind} of {shape} has no known size of its state"
    direction = call.attributes.get("direction", b"forward")
    both = direction in (b"bidirectional", "bidirectional")
    steps, batch, channels = shape
    if call.nhwc or call.attributes.get("layout"):
        batch, steps = steps, batch
    ways = 2 if both else 1
    x = (batch, 1, steps, channels)
    return _op(call, call.kind.lower(), x, out_channels=hidden, operands=ways)


def _activation(call: Call) -> OpSpec | str:
    if call.act:  # the second activation counts as one more element-wise operation
        call = replace(call, act="", tail=call.tail + 1)
    return _op(call, "act", image(call, call.inputs[0]), act=ACTIVATIONS[call.kind])


def _softmax(call: Call) -> OpSpec | str:
    shape, axis = call.inputs[0], int(call.attributes.get("axis", -1))
    last = axis % len(shape) == len(shape) - 1
    return _op(call, "softmax", rows(call, shape) if last else image(call, shape))


def _norm(call: Call) -> OpSpec | str:
    per_row = _NORMS[call.kind] in ("layer", "rms")
    x = (rows if per_row else image)(call, call.inputs[0])
    return _op(call, "norm", x, mode=_NORMS[call.kind])


def _concat(call: Call) -> OpSpec | str:
    shapes, y = [image(call, shape) for shape in call.inputs], image(call, call.output)
    if sum(shape[3] for shape in shapes) != y[3] or len(shapes) < 2:
        return _op(call, "move", y)  # along another axis: a copy of everything
    widest = max(shapes, key=lambda shape: shape[3])
    return _op(call, "concat", widest, out_channels=y[3], operands=len(shapes))


def _resize(call: Call) -> OpSpec | str:
    x, y = image(call, call.inputs[0]), image(call, call.output)
    if x[3] != y[3]:
        return f"{call.kind} changes the number of channels"
    mode = call.attributes.get("mode", "nearest")
    mode = mode.decode() if isinstance(mode, bytes) else str(mode)
    way = next((name for name in ("linear", "cubic", "area") if name in mode), "")
    if not (way or mode.startswith("nearest")):
        return f"{call.kind} interpolates ({mode}), which keys do not know"
    fields: dict[str, Any] = {"mode": way} if way else {}
    return _op(replace(call, residual=False), "resize", x, out_hw=y[1:3], **fields)


def _move(call: Call) -> OpSpec | str:
    x, y = image(call, call.inputs[0]), image(call, call.output)
    if prod(x) == prod(y) or call.kind == "Split":
        return _op(call, "move", x)
    fields: dict[str, Any] = {"out_channels": y[3]} if y[3] != x[3] else {}
    return _op(call, "move", x, y, **fields)


_RULES: Final[dict[str, Callable[[Call], OpSpec | str]]] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(_MATRICES, _matrices),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"), _pool),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_CASTS, _cast),
    **dict.fromkeys(_GATHERS, _gather),
    **dict.fromkeys(("MultiHeadAttention", "ScaledDotProductAttention"), _sdpa),
    **dict.fromkeys(("LSTM", "GRU"), _recurrent),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(_NORMS, _norm),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(_MOVES, _move),
    "Softmax": _softmax,
    "Concat": _concat,
}
