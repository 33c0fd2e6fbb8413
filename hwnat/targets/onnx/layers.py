"""Rules for ONNX operators with weights or windows, norms, and products of matrices."""

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from hwnat.targets.modules import functions
from hwnat.targets.onnx.builder import Rule
from hwnat.targets.onnx.reader import Reader, Refused

#: Pools with gaps become one operator for each tap, up to this many.
_MOST_TAPS: Final = 25
_LEAST: Final = float(np.finfo(np.float32).min)


def _fill(into: Any, values: npt.NDArray[Any]) -> None:  # noqa: ANN401 - a tensor
    with torch.no_grad():
        into.copy_(torch.from_numpy(np.array(values, np.float32)))


def _widened(r: Reader) -> tuple[fx.Node, tuple[int, ...], bool]:
    """Return an input as a 4-D map, its spatial sizes, and whether it was a sequence."""
    shape = r.shape(0)
    if len(shape) == 4:
        return r.input(0), shape[2:], False
    if len(shape) == 3:
        wide = (*shape[:2], 1, shape[2])
        return r.function(torch.reshape, r.input(0), wide), wide[2:], True
    why = f"a tensor with {len(shape)} axes; known are sequences (3) and maps (4)"
    raise Refused(why)


def _narrowed(r: Reader, x: fx.Node, *, flat: bool) -> fx.Node:
    return r.function(torch.reshape, x, r.result()) if flat else x


def _sizes(r: Reader, name: str, default: int, *, flat: bool) -> tuple[int, int]:
    """Return a list with one entry for each spatial axis."""
    given = r.attribute(name) or [default] * (1 if flat else 2)
    both = [default, *given] if flat else given
    return int(both[0]), int(both[1])


def _edges(
    r: Reader,
    sizes: Sequence[int],
    window: tuple[Sequence[int], Sequence[int], Sequence[int]],
    *,
    flat: bool,
) -> list[tuple[int, int]]:
    """Return the padding before and after each spatial axis."""
    given = [int(edge) for edge in r.attribute("pads") or [0] * (2 if flat else 4)]
    auto = r.attribute("auto_pad", "NOTSET")
    half = len(given) // 2
    edges = list(zip(given[:half], given[half:], strict=True))
    edges = [(0, 0), *edges] if flat else edges
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if max(window[2]) > 1:
            why = f"auto_pad {auto} with dilations, on which runtimes disagree"
            raise Refused(why)
        edges = []
        for size, kernel, stride, dilation in zip(sizes, *window, strict=True):
            reach = (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1
            total = max(0, reach - size)
            less, more = total // 2, total - total // 2
            edges.append((less, more) if auto == "SAME_UPPER" else (more, less))
    elif auto == "VALID":
        edges = [(0, 0)] * 2
    elif auto not in ("NOTSET", ""):
        why = f"auto_pad {auto:.20}"
        raise Refused(why)
    if min(min(pair) for pair in edges) < 0:
        why = f"pads {given}"
        raise Refused(why)
    return edges


def _conv(r: Reader) -> fx.Node:
    x, sizes, flat = _widened(r)
    weight, bias = r.weights(1), r.stored(2)
    weight = weight[:, :, None] if flat else weight
    kernel = _sizes(r, "kernel_shape", 1, flat=flat) if r.attribute("kernel_shape") else None
    if kernel not in (None, tuple(weight.shape[2:])):
        why = f"kernel_shape {kernel} for weights of {weight.shape}"
        raise Refused(why)
    stride, dilation = (_sizes(r, name, 1, flat=flat) for name in ("strides", "dilations"))
    (top, bottom), (left, right) = _edges(r, sizes, (weight.shape[2:], stride, dilation), flat=flat)
    pad = top, left
    if pad != (bottom, right):
        x, pad = r.call(nn.ZeroPad2d((left, right, top, bottom)), x, mark="_pad"), (0, 0)
    groups = int(r.attribute("group", 1))
    sides = weight.shape[1] * groups, weight.shape[0], weight.shape[2:]
    conv = nn.Conv2d(*sides, stride, pad, dilation, groups, bias=bias is not None)
    _fill(conv.weight, weight)
    if conv.bias is not None and bias is not None:
        _fill(conv.bias, bias)
    return _narrowed(r, r.call(conv, x), flat=flat)


def _deconv(r: Reader) -> fx.Node:
    """Append a transposed convolution without padding, whose border is cut off afterwards."""
    x, sizes, flat = _widened(r)
    weight, bias = r.weights(1), r.stored(2)
    weight = weight[:, :, None] if flat else weight
    stride, dilation = (_sizes(r, name, 1, flat=flat) for name in ("strides", "dilations"))
    extra = _sizes(r, "output_padding", 0, flat=flat)
    shape, auto = r.attribute("output_shape"), r.attribute("auto_pad", "NOTSET")
    _sizes(r, "kernel_shape", 1, flat=flat)
    if shape is not None or auto not in ("NOTSET", "VALID"):
        why = "output_shape or auto_pad"
        raise Refused(why)
    edges = _edges(r, sizes, (weight.shape[2:], stride, dilation), flat=flat)
    weight = _spread(weight, dilation, extra)
    kernel = weight.shape[2:]
    full = [(n - 1) * s + k for n, s, k in zip(sizes, stride, kernel, strict=True)]
    groups = int(r.attribute("group", 1))
    channels = weight.shape[0] // groups
    parts = []
    for group in range(groups):
        part = weight[group * channels : (group + 1) * channels]
        deconv = nn.ConvTranspose2d(channels, part.shape[1], kernel, stride, bias=bias is not None)
        _fill(deconv.weight, part)
        if deconv.bias is not None and bias is not None:
            _fill(deconv.bias, bias.reshape(groups, -1)[group])
        some = x
        if groups > 1:
            batch, all_sizes = r.shape(0)[0], tuple((0, size, 1) for size in sizes)
            span = (group * channels, (group + 1) * channels, 1)
            some = r.function(functions.crop, x, ((0, batch, 1), span, *all_sizes))
        parts.append(r.call(deconv, some))
    made = parts[0] if groups == 1 else r.function(torch.cat, parts, 1)
    if any(map(any, edges)):
        batch, out = r.shape(0)[0], weight.shape[1] * groups
        kept = [(a, size - b, 1) for size, (a, b) in zip(full, edges, strict=True)]
        made = r.function(functions.crop, made, ((0, batch, 1), (0, out, 1), *kept))
    return _narrowed(r, made, flat=flat)


def _spread(
    weight: npt.NDArray[Any], dilation: Sequence[int], extra: Sequence[int]
) -> npt.NDArray[Any]:
    """Return weights with zeros for gaps, and for rows that only the output's padding reaches."""
    sides = [(k - 1) * d + 1 + e for k, d, e in zip(weight.shape[2:], dilation, extra, strict=True)]
    wide = np.zeros((*weight.shape[:2], *sides), np.float32)
    last = [side - e for side, e in zip(sides, extra, strict=True)]
    wide[:, :, : last[0] : dilation[0], : last[1] : dilation[1]] = weight
    return wide


def _pool(r: Reader) -> fx.Node:
    """Append a pool; what a module cannot express becomes explicit padding and a count."""
    x, sizes, flat = _widened(r)
    average = r.kind == "AveragePool"
    kernel = _sizes(r, "kernel_shape", 1, flat=flat)
    stride, dilation = (_sizes(r, name, 1, flat=flat) for name in ("strides", "dilations"))
    edges = _edges(r, sizes, (kernel, stride, dilation), flat=flat)
    counted = bool(average and r.attribute("count_include_pad", 0))
    r.attribute("ceil_mode", 0)  # the output's size has it
    if not average:
        r.skip("storage_order")  # of the indices, which are refused
    out = (1, *r.result()[2:]) if flat else r.result()[2:]
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(
        out, stride, kernel, dilation, strict=True)]  # fmt: skip
    over = [max(0, e - n - a - b) for e, n, (a, b) in zip(reach, sizes, edges, strict=True)]
    pad = edges[0][0], edges[1][0]
    even = pad == (edges[0][1], edges[1][1]) and not any(over)
    small = all(2 * p <= k for p, k in zip(pad, kernel, strict=True))
    if dilation == (1, 1) and even and small:
        plain: nn.Module = nn.MaxPool2d(kernel, stride, pad)
        if average:
            plain = nn.AvgPool2d(kernel, stride, pad, count_include_pad=counted)
        return _narrowed(r, r.call(plain, x), flat=flat)
    grown = [(a, max(b, e - n - a)) for e, n, (a, b) in zip(reach, sizes, edges, strict=True)]
    if any(map(any, grown)):
        fill = 0.0 if average else _LEAST
        x = r.function(functions.pad, x, ((0, 0), (0, 0), *grown), fill)
    if dilation == (1, 1):
        pool = nn.AvgPool2d(kernel, stride) if average else nn.MaxPool2d(kernel, stride)
        x = r.call(pool, x)
    else:
        x = _taps(r, x, (kernel, stride, dilation), out, average=average)
    if average:
        counts = _counts(sizes, edges, out, (kernel, stride, dilation), counted=counted)
        ratio = np.float32(kernel[0] * kernel[1]) / counts
        if (ratio != 1).any():
            x = r.function(operator.mul, x, r.constant(ratio[None, None].astype(np.float32)))
    return _narrowed(r, x, flat=flat)


def _taps(
    r: Reader,
    x: fx.Node,
    window: tuple[Sequence[int], Sequence[int], Sequence[int]],
    out: Sequence[int],
    *,
    average: bool,
) -> fx.Node:
    """Append a pool with gaps as the maximum or mean of one slice for each tap."""
    kernel, stride, dilation = window
    if kernel[0] * kernel[1] > _MOST_TAPS:
        why = f"dilations {tuple(dilation)} of a window of {tuple(kernel)}"
        raise Refused(why)
    batch, channels = r.shape(0)[:2]
    made: fx.Node | None = None
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            starts = row * dilation[0], column * dilation[1]
            spans = [
                (a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, out, stride, strict=True)
            ]
            tap = r.function(functions.crop, x, ((0, batch, 1), (0, channels, 1), *spans))
            join = operator.add if average else torch.maximum
            made = tap if made is None else r.function(join, made, tap)
    if made is None:
        why = "an empty window"
        raise Refused(why)
    if not average:
        return made
    share = r.constant(np.array([1 / (kernel[0] * kernel[1])], np.float32))
    return r.function(operator.mul, made, share)


def _counts(
    sizes: Sequence[int],
    edges: Sequence[tuple[int, int]],
    out: Sequence[int],
    window: tuple[Sequence[int], Sequence[int], Sequence[int]],
    *,
    counted: bool,
) -> npt.NDArray[np.float32]:
    """Return the number of elements that each mean divides by."""
    along = []
    for size, (before, after), count, kernel, stride, dilation in zip(
        sizes, edges, out, *window, strict=True
    ):
        places = np.arange(count)[:, None] * stride + np.arange(kernel) * dilation - before
        low, high = (-before, size + after) if counted else (0, size)
        along.append(((places >= low) & (places < high)).sum(axis=1))
    return np.asarray(np.outer(*along), np.float32)


def _global(r: Reader) -> fx.Node:
    shape, most = r.shape(0), r.kind == "GlobalMaxPool"
    if len(shape) == 4:
        return r.call(nn.AdaptiveMaxPool2d(1) if most else nn.AdaptiveAvgPool2d(1), r.input(0))
    kind = "REDUCE_MAX" if most else "MEAN"
    return r.function(functions.reduce, r.input(0), kind, tuple(range(2, len(shape))), True)


def _batch_norm(r: Reader) -> fx.Node:
    r.skip("momentum")
    if r.attribute("training_mode", 0) or not r.attribute("spatial", 1):
        why = "trains, or has no spatial statistics"
        raise Refused(why)
    stored = [r.weights(index) for index in range(1, 5)]
    epsilon = float(r.attribute("epsilon", 1e-5))
    if len(r.shape(0)) == 4:
        norm = nn.BatchNorm2d(len(stored[0]), eps=epsilon)
        into = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        for tensor, values in zip(into, stored, strict=True):
            _fill(tensor, values)
        return r.call(norm, r.input(0))
    scale, shift, mean, variance = (values.astype(np.float64) for values in stored)
    factor = scale / np.sqrt(variance + epsilon)
    return _affine(r, r.input(0), factor, shift - mean * factor)


def _affine(r: Reader, x: fx.Node, factor: npt.NDArray[Any], offset: npt.NDArray[Any]) -> fx.Node:
    """Scale and shift each channel."""
    shape = (-1, *[1] * (len(r.shape(0)) - 2))
    scaled = r.function(operator.mul, x, r.constant(factor.astype(np.float32).reshape(shape)))
    return r.function(operator.add, scaled, r.constant(offset.astype(np.float32).reshape(shape)))


def _standardised(r: Reader, x: fx.Node, axes: tuple[int, ...], epsilon: float) -> fx.Node:
    """Subtract the mean over some axes and divide by the standard deviation."""
    centred = r.function(operator.sub, x, r.function(functions.reduce, x, "MEAN", axes, True))
    squares = r.function(operator.mul, centred, centred)
    variance = r.function(functions.reduce, squares, "MEAN", axes, True)
    shifted = r.function(operator.add, variance, r.constant(np.array([epsilon], np.float32)))
    return r.function(operator.mul, centred, r.function(torch.rsqrt, shifted))


def _layer_norm(r: Reader) -> fx.Node:
    rank = len(r.shape(0))
    first = r.axis(-1, rank)
    r.skip("stash_type")  # of float16 models, which are refused
    epsilon = float(r.attribute("epsilon", 1e-5))
    x = _standardised(r, r.input(0), tuple(range(first, rank)), epsilon)
    x = r.function(operator.mul, x, r.input(1))
    return r.function(operator.add, x, r.input(2)) if r.has(2) else x


def _instance_norm(r: Reader) -> fx.Node:
    axes = tuple(range(2, len(r.shape(0))))
    x = _standardised(r, r.input(0), axes, float(r.attribute("epsilon", 1e-5)))
    return _affine(r, x, r.weights(1), r.weights(2))


def _group_norm(r: Reader) -> fx.Node:
    shape, groups = r.shape(0), int(r.attribute("num_groups"))
    r.skip("stash_type")
    scale, shift = r.weights(1), r.weights(2)
    x = r.function(torch.reshape, r.input(0), (shape[0], groups, -1))
    x = _standardised(r, x, (2,), float(r.attribute("epsilon", 1e-5)))
    if scale.size == groups != shape[1]:
        scale, shift = (np.repeat(values, shape[1] // groups) for values in (scale, shift))
    return _affine(r, r.function(torch.reshape, x, shape), scale, shift)


def _gemm(r: Reader) -> fx.Node:
    alpha, beta = float(r.attribute("alpha", 1.0)), float(r.attribute("beta", 1.0))
    turned = bool(r.attribute("transA", 0)), bool(r.attribute("transB", 0))
    x = r.function(torch.permute, r.input(0), (1, 0)) if turned[0] else r.input(0)
    if r.is_stored(1):
        weight = alpha * (r.weights(1) if turned[1] else r.weights(1).T)
        bias = r.weights(2) if r.is_stored(2) else None
        fits = bias is not None and (bias.ndim < 2 or bias.shape[0] == 1)
        x = _linear(r, x, weight, beta * bias.reshape(-1) if fits and bias is not None else None)
        if not r.has(2) or fits:
            return x
    else:
        y = r.function(torch.permute, r.input(1), (1, 0)) if turned[1] else r.input(1)
        x = _scaled(r, r.function(torch.matmul, x, y), alpha)
    return r.function(operator.add, x, _scaled(r, r.input(2), beta)) if r.has(2) else x


def _scaled(r: Reader, x: fx.Node, factor: float) -> fx.Node:
    if factor == 1.0:
        return x
    return r.function(operator.mul, x, r.constant(np.array([factor], np.float32)))


def _linear(
    r: Reader, x: fx.Node, weight: npt.NDArray[Any], bias: npt.NDArray[Any] | None
) -> fx.Node:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _fill(linear.weight, weight)
    if bias is not None:
        _fill(linear.bias, np.broadcast_to(bias, (weight.shape[0],)))
    return r.call(linear, x)


def _matmul(r: Reader) -> fx.Node:
    left, right = r.shape(0), r.shape(1)
    if min(len(left), len(right)) < 2:
        why = "a product with a vector"
        raise Refused(why)
    if r.is_stored(1) and len(right) == 2:
        return _linear(r, r.input(0), r.weights(1).T, None)
    return r.function(torch.matmul, r.input(0), r.input(1))


def _softmax(r: Reader) -> fx.Node:
    """Append a softmax; opsets before 13 flatten the axes from the named one on."""
    shape, old = r.shape(0), r.opset < 13
    axis = r.axis(1 if old else -1, len(shape))
    function = torch.softmax if r.kind == "Softmax" else torch.log_softmax
    flat = old and axis < len(shape) - 1 and any(size != 1 for size in shape[axis + 1 :])
    if not flat and r.kind == "Softmax":
        return r.call(nn.Softmax(dim=axis), r.input(0))
    if not flat:
        return r.function(function, r.input(0), axis)
    both = int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))
    rows = r.function(function, r.function(torch.reshape, r.input(0), both), 1)
    return r.function(torch.reshape, rows, shape)


def _lrn(r: Reader) -> fx.Node:
    size = int(r.attribute("size"))
    if size % 2 == 0 or len(r.shape(0)) != 4:
        why = f"a window of {size} channels"
        raise Refused(why)
    alpha, beta, bias = (
        float(r.attribute(name, value))
        for name, value in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return r.call(nn.LocalResponseNorm(size, alpha, beta, bias), r.input(0))


LAYERS: Final[dict[str, Rule]] = {
    "Conv": _conv,
    "ConvTranspose": _deconv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global,
    "GlobalMaxPool": _global,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _lrn,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
}
