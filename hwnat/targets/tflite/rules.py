"""How pools, activations and other modules without weights become TFLite operators.

Each rule appends operators to a file and returns the index of its output tensor.
"""

from typing import Any, Final

import numpy as np
from torch import fx, nn

from hwnat.targets.tflite.lowering import Lowering, Rule, file_shape, shape
from hwnat.targets.tflite.window import Window

_SAME, _VALID = 0, 1
_NEGATIVE: Final = np.float32(np.finfo(np.float32).min)


def _global_pool(low: Lowering, node: fx.Node, source: fx.Node, pool: Any) -> int:  # noqa: ANN401
    """Write a global average or maximum pool."""
    if pool.output_size not in (1, (1, 1)):
        raise low.refusal(node, f"pools to {pool.output_size}; only 1 is known")
    kind = "MEAN" if isinstance(pool, nn.AdaptiveAvgPool2d) else "REDUCE_MAX"
    inputs = [low.index[source], low.file.constant(np.array([1, 2], np.int32))]
    return low.emit(node, kind, inputs, "ReducerOptions", keepDims=True)


def _pool(low: Lowering, node: fx.Node, source: fx.Node, pool: Any) -> int:  # noqa: ANN401
    """Write a window pool; padding that is neither SAME nor VALID becomes a PAD before it.

    TFLite's average pool never counts its padding, so an average that counts it also gets a PAD.
    """
    average = isinstance(pool, nn.AvgPool2d)
    rows, columns = _windows(source, node, pool)
    problems = {
        "rounds its output's size up": pool.ceil_mode,
        "is dilated": getattr(pool, "dilation", 1) not in (1, (1, 1)),
        "divides by a number of its own": getattr(pool, "divisor_override", None) is not None,
    }
    for what, wrong in problems.items():
        if wrong:
            raise low.refusal(node, f"{what}, which the writer does not know")
    if (rows.kernel, columns.kernel) == (1, 1) and shape(node)[2:] == (1, 1):
        return _first_pixel(low, node, source)
    tensor, padding = low.index[source], _SAME if rows.is_same and columns.is_same else _VALID
    zeros = any(rows.overhang + columns.overhang)
    if zeros and (padding == _VALID or (average and pool.count_include_pad)):
        padding = _VALID
        if average and not pool.count_include_pad:
            raise low.refusal(node, "averages over a border of odd width without counting it")
        tensor = _padded(low, source, (rows, columns), negative=not average)
    fields = {
        "padding": padding,
        "strideH": rows.stride,
        "strideW": columns.stride,
        "filterHeight": rows.kernel,
        "filterWidth": columns.kernel,
    }
    kind = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
    return low.emit(node, kind, [tensor], "Pool2DOptions", **fields)


def _first_pixel(low: Lowering, node: fx.Node, source: fx.Node) -> int:
    """Write a pool that keeps one pixel as a SLICE, because XNNPACK does not take such a pool."""
    batch, _, _, channels = file_shape(source)
    begin = low.file.constant(np.zeros(4, np.int32))
    size = low.file.constant(np.array([batch, 1, 1, channels], np.int32))
    return low.emit(node, "SLICE", [low.index[source], begin, size], "SliceOptions")


def _padded(low: Lowering, source: fx.Node, axes: tuple[Window, Window], *, negative: bool) -> int:
    """Pad with zeros, or with the lowest float before a maximum whose input may be negative."""
    rows, columns = axes
    module = low.module(source)
    if not negative or isinstance(module, nn.ReLU | nn.ReLU6 | nn.Sigmoid | nn.Hardsigmoid):
        return low.pad(source, rows.overhang, columns.overhang)
    edges = np.array([(0, 0), rows.overhang, columns.overhang, (0, 0)], np.int32)
    size = (edges.sum(axis=1) + file_shape(source)).tolist()
    least = low.file.constant(np.array([_NEGATIVE], np.float32))
    inputs = [low.index[source], low.file.constant(edges), least]
    return low.file.add("PADV2", inputs, size, "PadV2Options")


def _windows(source: fx.Node, node: fx.Node, pool: Any) -> tuple[Window, Window]:  # noqa: ANN401
    def pair(value: Any) -> tuple[int, int]:  # noqa: ANN401
        return value if isinstance(value, tuple) else (value, value)

    kernel, stride, pad = map(pair, (pool.kernel_size, pool.stride, pool.padding))
    sizes = zip(shape(source)[2:], shape(node)[2:], strict=True)
    rows, columns = (
        Window(size, out, kernel[axis], stride[axis], pad[axis])
        for axis, (size, out) in enumerate(sizes)
    )
    return rows, columns


def _zeros(low: Lowering, _: fx.Node, source: fx.Node, pad: nn.ZeroPad2d) -> int:
    """Write zeros around a map; XNNPACK fuses them into the following convolution."""
    left, right, top, bottom = pad.padding
    return low.pad(source, (top, bottom), (left, right))


def _fusible(activation: str) -> Rule:
    """Fuse the activation into the previous operator if nothing else reads that one's output."""

    def write(low: Lowering, node: fx.Node, source: fx.Node, _: nn.Module) -> int:
        x = low.index[source]
        if len(source.users) == 1 and low.file.fuse(x, activation):
            return x
        return low.emit(node, activation, [x], "NONE")

    return write


def _simple(kind: str, options: str = "NONE") -> Rule:
    """Write the native operator."""

    def write(low: Lowering, node: fx.Node, source: fx.Node, _: nn.Module) -> int:
        return low.emit(node, kind, [low.index[source]], options)

    return write


def _leaky(low: Lowering, node: fx.Node, source: fx.Node, act: nn.LeakyReLU) -> int:
    options = "LeakyReluOptions"
    inputs, slope = [low.index[source]], float(act.negative_slope)
    return low.emit(node, "LEAKY_RELU", inputs, options, alpha=slope)  # type: ignore[arg-type]


def _gelu(low: Lowering, node: fx.Node, source: fx.Node, act: nn.GELU) -> int:
    rough = act.approximate == "tanh"
    return low.emit(node, "GELU", [low.index[source]], "GeluOptions", approximate=rough)


def _softmax(low: Lowering, node: fx.Node, source: fx.Node, softmax: nn.Softmax) -> int:
    """Write a softmax along the channels, which are the last axis in the file."""
    dims = len(shape(node))
    if softmax.dim is None or softmax.dim % dims != 1:
        raise low.refusal(node, f"runs along axis {softmax.dim}; only channels, axis 1, are known")
    options, beta = "SoftmaxOptions", 1.0
    inputs = [low.index[source]]
    return low.emit(node, "SOFTMAX", inputs, options, beta=beta)  # type: ignore[arg-type]


def _hardsigmoid(low: Lowering, node: fx.Node, source: fx.Node, _: nn.Hardsigmoid) -> int:
    """Write relu6(x + 3) / 6; XNNPACK takes every step."""
    shifted = low.binary(node, "ADD", low.index[source], low.file.scalar(3))
    low.file.fuse(shifted, "RELU6")
    return low.binary(node, "MUL", shifted, low.file.scalar(1 / 6))


def _silu(low: Lowering, node: fx.Node, source: fx.Node, _: nn.SiLU) -> int:
    gate = low.emit(node, "LOGISTIC", [low.index[source]], "NONE")
    return low.binary(node, "MUL", low.index[source], gate)


def _mish(low: Lowering, node: fx.Node, source: fx.Node, _: nn.Mish) -> int:
    """Write x q / (2 - q) with q = s (2 - s), s = sigmoid(x).

    That is x tanh(softplus(x)), since tanh(log(1 + e^x)) = (1 - a^2) / (1 + a^2) with
    a = 1 - s; it neither overflows nor cancels, and XNNPACK takes every step.
    """
    x, two = low.index[source], low.file.scalar(2)
    s = low.emit(node, "LOGISTIC", [x], "NONE")
    q = low.binary(node, "MUL", s, low.binary(node, "SUB", two, s))
    gate = low.binary(node, "DIV", q, low.binary(node, "SUB", two, q))
    return low.binary(node, "MUL", x, gate)


#: Modules that the writer supports. Types match exactly: a subclass may compute something else.
RULES: Final[dict[type[nn.Module], Rule]] = {
    nn.Conv2d: Lowering.convolution,
    nn.Linear: Lowering.linear,
    nn.Flatten: Lowering.flatten,
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.AdaptiveMaxPool2d: _global_pool,
    nn.AvgPool2d: _pool,
    nn.MaxPool2d: _pool,
    nn.ZeroPad2d: _zeros,
    nn.ReLU: _fusible("RELU"),
    nn.ReLU6: _fusible("RELU6"),
    nn.LeakyReLU: _leaky,
    nn.ELU: _simple("ELU"),
    nn.Sigmoid: _simple("LOGISTIC"),
    nn.Tanh: _simple("TANH"),
    nn.GELU: _gelu,
    nn.SiLU: _silu,
    nn.Hardswish: _simple("HARD_SWISH", "HardSwishOptions"),
    nn.Hardsigmoid: _hardsigmoid,
    nn.Mish: _mish,
    nn.Softmax: _softmax,
}
