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
#: Operators that return their input's data, possibly under another shape.
VIEWS: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
_ARITHMETIC: Final[dict[str, str]] = {"Add": "add", "Sum": "add", "Sub": "add", "Mul": "mul"}
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
    {"Transpose", "Pad", "Slice", "StridedSlice", "Split", "Gather", "GatherElements", "GatherND"}
    | {"Expand", "Tile", "ScatterND", "DepthToSpace", "SpaceToDepth", "ChannelShuffle"}
    | {"ReorderInput", "ReorderOutput", "Reorder"}
)
_IMAGES: Final = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"}
    | {"Resize", "Upsample"}
)
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
        attributes: kernel (h, w), strides, dilations, group, axis, alpha, mode.
        weight: shape of the constant second operand, if there is one.
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
    fused = (call.act, call.residual, call.tail, call.label, call.detail)
    label = re.sub(r"[^A-Za-z0-9-]+", "", call.label or call.kind)[:_LABEL].strip("-") or "kernel"
    digest = hashlib.sha256(repr((operands, fused, attributes)).encode()).hexdigest()[:16]
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
    if call.dtype not in ("float32", "float16"):
        return f"{call.kind} computes in {call.dtype}; operation keys know floating point here"
    shapes = (*call.inputs, call.output)
    if not (call.inputs and all(shape and min(shape) > 0 for shape in shapes)):
        return f"{call.kind} has no computed input of known size"
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
    if y is not None and y[1:3] != ((x[1] - 1) // stride + 1, (x[2] - 1) // stride + 1):
        fields["out_hw"] = y[1:3]
    fields |= {"act": ACTIVATIONS[call.act]} if call.act else {}
    fields |= {"residual": True} if call.residual else {}
    fields |= {"tail": call.tail} if call.tail else {}
    dtype: DType = "float16" if call.dtype == "float16" else "float32"
    return OpSpec(kind=kind, in_shape=x, dtype=dtype, **fields)  # type: ignore[arg-type]


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


def _pair(call: Call, name: str, default: int = 1) -> tuple[int, int]:
    sizes = tuple(int(size) for size in call.attributes.get(name) or ())
    if len(sizes) == 1:
        return 1, sizes[0]
    return (sizes[0], sizes[1]) if sizes else (default, default)


def _window(call: Call) -> dict[str, Any]:
    """Return the kernel, stride and dilation of a window.

    Raises:
        DataError: strides or dilations differ between the axes, which no key can express.
    """
    (height, width), strides, dilations = (
        _pair(call, name) for name in ("kernel", "strides", "dilations")
    )
    # Along an axis where the output has size 1, the stride has no effect.
    used = {s for s, size in zip(strides, image(call, call.output)[1:3], strict=True) if size > 1}
    spread = {d for d, size in zip(dilations, (height, width), strict=True) if size > 1}
    if len(used) > 1 or len(spread) > 1:
        msg = f"{call.kind} has strides {strides} and dilations {dilations}; keys know one of each"
        raise DataError(msg)
    fields: dict[str, Any] = {"kernel": height, "stride": used.pop() if used else strides[0]}
    fields |= {"dilation": spread.pop()} if spread and max(dilations) > 1 else {}
    return fields | ({"kernel_w": width} if width != height else {})


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
    """Treat a reduction over all axes except batch and channels as a global pool."""
    shape = call.inputs[0]
    axes = {int(axis) % len(shape) for axis in call.attributes.get("axes", ())}
    channels = 1 if len(shape) == 4 and not call.nhwc else len(shape) - 1
    if len(shape) < 3 or axes != set(range(1, len(shape))) - {channels}:
        return f"{call.kind} over axes {sorted(axes)} of {shape} has no operation kind"
    mode = "max" if call.kind == "ReduceMax" else "avg"
    return _op(call, "gpool", image(call, shape), mode=mode)


def _arithmetic(call: Call) -> OpSpec | str:
    shapes = [image(call, shape) for shape in call.inputs]
    widest = max(shapes, key=prod)
    if prod(widest) < prod(call.output):
        return f"{call.kind} stretches both of its operands {call.inputs} to {call.output}"
    fields: dict[str, Any] = {"operands": len(shapes)}
    small = {shape for shape in shapes if prod(shape) != prod(widest)}
    if small:
        fields["broadcast"] = True
    return _op(call, _ARITHMETIC[call.kind], widest, **fields)


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
    if not mode.startswith("nearest"):
        return f"{call.kind} interpolates ({mode}); a key stands for taking the nearest value"
    return _op(replace(call, residual=False), "resize", x, out_hw=y[1:3])


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
    **dict.fromkeys(("ReduceMean", "ReduceMax"), _reduce),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(_NORMS, _norm),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(_MOVES, _move),
    "Softmax": _softmax,
    "Concat": _concat,
}
