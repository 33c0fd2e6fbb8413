"""How pools, activations and other modules become TFLite operators.

Each rule appends operators to a file and returns the index of its output tensor. The rules of
functions stand in `hwnat.targets.tflite.functions`.
"""

from typing import Any, Final

import numpy as np
from torch import fx, nn

from hwnat.targets.tflite.functions import FUNCTIONS, write_softmax
from hwnat.targets.tflite.lowering import Lowering, Rule, order_of, shape, values
from hwnat.targets.tflite.window import Window

_SAME, _VALID = 0, 1
_NEGATIVE: Final = np.float32(np.finfo(np.float32).min)


def _source(low: Lowering, node: fx.Node) -> fx.Node:
    return low.operand(node, node.args[0])


def _map(low: Lowering, node: fx.Node) -> fx.Node:
    """Return the operand of a module that takes maps."""
    source = _source(low, node)
    if len(shape(source)) != 4:
        raise low.refusal(node, f"takes {len(shape(source))}-D tensors, only 4-D ones are known")
    return source


def _linear(low: Lowering, node: fx.Node, linear: nn.Linear) -> int:
    """Write a fully connected layer, which also flattens a map."""
    source = _source(low, node)
    weight, bias = values(linear)
    rank = len(shape(node))
    if (flat := low.unflattened.get(source)) is not None and len(flat) > 2:
        # The file has the channels last, so the columns of the weights are put in that order.
        sides = weight.reshape(len(weight), *flat[1:])
        order = [0, *(axis for axis in order_of(len(flat), last=True)[1:])]
        weight = sides.transpose(order).reshape(weight.shape)
        inputs = [low.tensor(source), low.file.constant(weight), low.file.constant(bias)]
        return low.emit(node, "FULLY_CONNECTED", inputs, "FullyConnectedOptions")
    if rank < 2:
        raise low.refusal(node, f"maps {rank}-D tensors")
    low.home(node, last=False)
    tensor = low.tensor(source, last=False)
    inputs = [tensor, low.file.constant(weight), low.file.constant(bias)]
    keep = {"keepNumDims": True} if rank > 2 else {}
    return low.emit(node, "FULLY_CONNECTED", inputs, "FullyConnectedOptions", **keep)


def _flatten(low: Lowering, node: fx.Node, flatten: nn.Flatten) -> int:
    """Flatten all axes but the batch; before linear layers, write nothing."""
    source = _source(low, node)
    before = shape(source)
    if (flatten.start_dim, flatten.end_dim) != (1, -1) or len(before) < 2:
        raise low.refusal(node, f"flattens {before} from axis {flatten.start_dim}")
    linear = all(isinstance(low.module(user), nn.Linear) for user in node.users) and node.users
    if linear and source in low.last:
        low.unflattened[node] = before
        return low.tensor(source)
    low.home(node, last=False)
    size = low.size(source)
    still = [axis for axis in _axes_of(low, source) if before[axis] != 1]
    tensor = low.tensor(source, last=source in low.last and still == sorted(still))
    if size == shape(node):
        return tensor
    return low.reshape(tensor, shape(node), low.dtype(node))


def _axes_of(low: Lowering, node: fx.Node) -> tuple[int, ...]:
    """Return a node's axes in the order in which the file has them."""
    return order_of(len(shape(node)), last=node in low.last)


def _norm(low: Lowering, node: fx.Node, norm: Any) -> int:  # noqa: ANN401
    """Write a batch norm that no convolution took as a product and a sum."""
    if norm.running_mean is None or norm.running_var is None:
        raise low.refusal(node, "has no running statistics, so it depends on the whole batch")
    source = _source(low, node)
    low.home(node, last=source in low.last)
    mean, variance = (
        stored.detach().double().numpy() for stored in (norm.running_mean, norm.running_var)
    )
    factor = 1 / np.sqrt(variance + norm.eps)
    offset = -mean * factor
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double().numpy()
        offset = norm.bias.detach().double().numpy() - mean * factor
    sides = np.ones(len(shape(node)), int)
    sides[low.axis(node, 1)] = -1
    wide = (-1,) if low.axis(node, 1) == len(sides) - 1 else tuple(sides.tolist())
    scale, shift = (
        low.file.constant(stored.astype(np.float32).reshape(wide)) for stored in (factor, offset)
    )
    scaled = low.binary(node, "MUL", low.tensor(source), scale)
    return low.binary(node, "ADD", scaled, shift)


def _global_pool(low: Lowering, node: fx.Node, pool: Any) -> int:  # noqa: ANN401
    """Write a global average or maximum pool."""
    if pool.output_size not in (1, (1, 1)):
        raise low.refusal(node, f"pools to {pool.output_size}; only 1 is known")
    if getattr(pool, "return_indices", False):
        raise low.refusal(node, "returns indices")
    source = _map(low, node)
    kind = "MEAN" if isinstance(pool, nn.AdaptiveAvgPool2d) else "REDUCE_MAX"
    if source not in low.last:
        low.home(node, last=False)
    axes = [low.axis(source, 2), low.axis(source, 3)]
    inputs = [low.tensor(source), low.file.constant(np.array(axes, np.int32))]
    return low.emit(node, kind, inputs, "ReducerOptions", keepDims=True)


def _pool(low: Lowering, node: fx.Node, pool: Any) -> int:  # noqa: ANN401
    """Write a window pool; padding that is neither SAME nor VALID becomes a PAD before it.

    TFLite's average pool never counts its padding, so an average that counts it also gets a PAD.
    An average over an odd border that is not counted is scaled afterwards.
    """
    average = isinstance(pool, nn.AvgPool2d)
    source = _map(low, node)
    problems = {
        "rounds its output's size up": pool.ceil_mode,
        "is dilated": getattr(pool, "dilation", 1) not in (1, (1, 1)),
        "divides by a number of its own": getattr(pool, "divisor_override", None) is not None,
        "returns indices": getattr(pool, "return_indices", False),
    }
    for what, wrong in problems.items():
        if wrong:
            raise low.refusal(node, f"{what}, which the writer does not know")
    rows, columns = _windows(source, node, pool)
    if (rows.kernel, columns.kernel) == (1, 1) and shape(node)[2:] == (1, 1):
        return _first_pixel(low, node, source)
    same = rows.is_same and columns.is_same
    tensor, padding = low.tensor(source, last=True), _SAME if same else _VALID
    zeros = any(rows.overhang + columns.overhang)
    counts = None
    if zeros and (padding == _VALID or (average and pool.count_include_pad)):
        padding = _VALID
        if average and not pool.count_include_pad:
            counts = np.outer(*(_covered(window) for window in (rows, columns)))
        tensor = _padded(low, source, (rows, columns), negative=not average)
    fields = {
        "padding": padding,
        "strideH": rows.stride,
        "strideW": columns.stride,
        "filterHeight": rows.kernel,
        "filterWidth": columns.kernel,
    }
    kind = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
    made = low.emit(node, kind, [tensor], "Pool2DOptions", **fields)
    if counts is None:
        return made
    ratio = (rows.kernel * columns.kernel / counts).astype(np.float32)
    return low.binary(node, "MUL", made, low.file.constant(ratio[None, :, :, None]))


def _covered(window: Window) -> Any:  # noqa: ANN401 - an array
    """Return how many elements each place of a window covers without the padding."""
    first = np.arange(window.out) * window.stride - window.pad
    ends = np.minimum(first + window.kernel, window.size)
    return ends - np.maximum(first, 0)


def _first_pixel(low: Lowering, node: fx.Node, source: fx.Node) -> int:
    """Write a pool that keeps one pixel as a SLICE, because XNNPACK does not take such a pool."""
    batch, channels = shape(source)[:2]
    begin = low.file.constant(np.zeros(4, np.int32))
    size = low.file.constant(np.array([batch, 1, 1, channels], np.int32))
    return low.emit(node, "SLICE", [low.tensor(source, last=True), begin, size], "SliceOptions")


def _padded(low: Lowering, source: fx.Node, axes: tuple[Window, Window], *, negative: bool) -> int:
    """Pad with zeros, or with the lowest float before a maximum whose input may be negative."""
    rows, columns = axes
    module = low.module(source)
    if not negative or isinstance(module, nn.ReLU | nn.ReLU6 | nn.Sigmoid | nn.Hardsigmoid):
        return low.pad(source, rows.overhang, columns.overhang)
    edges = np.array([(0, 0), rows.overhang, columns.overhang, (0, 0)], np.int32)
    size = (edges.sum(axis=1) + low.size(source, last=True)).tolist()
    least = low.file.constant(np.array([_NEGATIVE], np.float32))
    inputs = [low.tensor(source, last=True), low.file.constant(edges), least]
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


def _zeros(low: Lowering, node: fx.Node, pad: nn.ZeroPad2d) -> int:
    """Write zeros around a map; XNNPACK fuses them into the following convolution."""
    left, right, top, bottom = pad.padding
    if min(pad.padding) < 0:
        raise low.refusal(node, f"cuts with the padding {pad.padding}")
    return low.pad(_map(low, node), (top, bottom), (left, right))


def _deconv(low: Lowering, node: fx.Node, conv: nn.ConvTranspose2d) -> int:
    """Write a transposed convolution without padding."""
    plain = conv.padding, conv.output_padding, conv.dilation, conv.groups
    if plain != ((0, 0), (0, 0), (1, 1), 1):
        raise low.refusal(node, "pads, is dilated or has groups, which the writer does not know")
    weight, bias = conv.weight.detach().numpy().transpose(1, 2, 3, 0), conv.bias
    size = low.file.constant(np.array(low.size(node), np.int32))
    inputs = [size, low.file.constant(weight), low.tensor(_map(low, node), last=True)]
    fields = {"padding": _VALID, "strideH": conv.stride[0], "strideW": conv.stride[1]}
    made = low.emit(node, "TRANSPOSE_CONV", inputs, "TransposeConvOptions", **fields)
    if bias is None:
        return made
    return low.binary(node, "ADD", made, low.file.constant(bias.detach().numpy()))


def _upsample(low: Lowering, node: fx.Node, up: nn.Upsample) -> int:
    """Write a resize to a fixed size."""
    forms = {
        ("nearest", None): ("RESIZE_NEAREST_NEIGHBOR", False, False),
        ("nearest-exact", None): ("RESIZE_NEAREST_NEIGHBOR", False, True),
        ("bilinear", None): ("RESIZE_BILINEAR", False, True),
        ("bilinear", False): ("RESIZE_BILINEAR", False, True),
        ("bilinear", True): ("RESIZE_BILINEAR", True, False),
    }
    form = forms.get((up.mode, up.align_corners))
    if form is None or up.size is None:
        raise low.refusal(node, f"resizes by {up.mode}, or to a size that is not given")
    kind, corners, centres = form
    size = low.file.constant(np.array(shape(node)[2:], np.int32))
    options = "ResizeBilinearOptions" if "BILINEAR" in kind else "ResizeNearestNeighborOptions"
    return low.emit(
        node,
        kind,
        [low.tensor(_map(low, node), last=True), size],
        options,
        alignCorners=corners,
        halfPixelCenters=centres,
    )


def _lrn(low: Lowering, node: fx.Node, norm: nn.LocalResponseNorm) -> int:
    fields: Any = {"radius": norm.size // 2, "bias": norm.k, "beta": norm.beta}
    fields["alpha"] = norm.alpha / norm.size
    if norm.size % 2 == 0:
        raise low.refusal(node, f"has a window of {norm.size} channels; only odd ones are known")
    kind, options = "LOCAL_RESPONSE_NORMALIZATION", "LocalResponseNormalizationOptions"
    return low.emit(node, kind, [low.tensor(_map(low, node), last=True)], options, **fields)


def _alike(low: Lowering, node: fx.Node) -> int:
    """Return the operand of an element-wise module, whose order of axes the result keeps."""
    source = _source(low, node)
    low.home(node, last=source in low.last)
    return low.tensor(source)


def _fusible(activation: str) -> Rule:
    """Fuse the activation into the previous operator if nothing else reads that one's output."""

    def write(low: Lowering, node: fx.Node, _: nn.Module) -> int:
        x = _alike(low, node)
        if len(_source(low, node).users) == 1 and low.file.fuse(x, activation):
            return x
        return low.emit(node, activation, [x])

    return write


def _simple(kind: str, options: str = "NONE") -> Rule:
    """Write the native operator."""

    def write(low: Lowering, node: fx.Node, _: nn.Module) -> int:
        return low.emit(node, kind, [_alike(low, node)], options)

    return write


def _elu(low: Lowering, node: fx.Node, act: nn.ELU) -> int:
    if act.alpha != 1.0:
        raise low.refusal(node, f"has alpha {act.alpha}; only 1 is known")
    return low.emit(node, "ELU", [_alike(low, node)])


def _leaky(low: Lowering, node: fx.Node, act: nn.LeakyReLU) -> int:
    slope = float(act.negative_slope)
    return low.emit(node, "LEAKY_RELU", [_alike(low, node)], "LeakyReluOptions", alpha=slope)


def _gelu(low: Lowering, node: fx.Node, act: nn.GELU) -> int:
    rough = act.approximate == "tanh"
    return low.emit(node, "GELU", [_alike(low, node)], "GeluOptions", approximate=rough)


def _softmax(low: Lowering, node: fx.Node, softmax: nn.Softmax) -> int:
    """Write a softmax, which runs along the last axis of the file."""
    source = _source(low, node)
    rank = len(shape(node))
    if softmax.dim is None or not -rank <= softmax.dim < rank:
        raise low.refusal(node, f"runs along axis {softmax.dim}")
    return write_softmax(low, node, source, softmax.dim % rank, "SOFTMAX")


def _hardsigmoid(low: Lowering, node: fx.Node, _: nn.Hardsigmoid) -> int:
    """Write relu6(x + 3) / 6; XNNPACK takes every step."""
    shifted = low.binary(node, "ADD", _alike(low, node), low.file.scalar(3))
    low.file.fuse(shifted, "RELU6")
    return low.binary(node, "MUL", shifted, low.file.scalar(1 / 6))


def _silu(low: Lowering, node: fx.Node, _: nn.SiLU) -> int:
    x = _alike(low, node)
    return low.binary(node, "MUL", x, low.emit(node, "LOGISTIC", [x]))


def _mish(low: Lowering, node: fx.Node, _: nn.Mish) -> int:
    """Write x q / (2 - q) with q = s (2 - s), s = sigmoid(x).

    That is x tanh(softplus(x)), since tanh(log(1 + e^x)) = (1 - a^2) / (1 + a^2) with
    a = 1 - s; it neither overflows nor cancels, and XNNPACK takes every step.
    """
    x, two = _alike(low, node), low.file.scalar(2)
    s = low.emit(node, "LOGISTIC", [x])
    q = low.binary(node, "MUL", s, low.binary(node, "SUB", two, s))
    gate = low.binary(node, "DIV", q, low.binary(node, "SUB", two, q))
    return low.binary(node, "MUL", x, gate)


#: Modules that the writer supports. Types match exactly: a subclass may compute something else.
MODULES: Final[dict[Any, Rule]] = {
    nn.Conv2d: Lowering.convolution,
    nn.ConvTranspose2d: _deconv,
    nn.Linear: _linear,
    nn.Flatten: _flatten,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.LocalResponseNorm: _lrn,
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.AdaptiveMaxPool2d: _global_pool,
    nn.AvgPool2d: _pool,
    nn.MaxPool2d: _pool,
    nn.ZeroPad2d: _zeros,
    nn.Upsample: _upsample,
    nn.ReLU: _fusible("RELU"),
    nn.ReLU6: _fusible("RELU6"),
    nn.LeakyReLU: _leaky,
    nn.ELU: _elu,
    nn.Sigmoid: _simple("LOGISTIC"),
    nn.Tanh: _simple("TANH"),
    nn.GELU: _gelu,
    nn.SiLU: _silu,
    nn.Hardswish: _simple("HARD_SWISH", "HardSwishOptions"),
    nn.Hardsigmoid: _hardsigmoid,
    nn.Mish: _mish,
    nn.Softmax: _softmax,
}

RULES: Final[dict[Any, Rule]] = {**MODULES, **FUNCTIONS}
