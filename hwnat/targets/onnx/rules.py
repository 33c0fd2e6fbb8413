"""Rules that turn the ONNX operators that the TFLite writer can express into PyTorch modules."""

import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import fx, nn

from hwnat.targets.onnx.builder import ModuleBuilder, Refused, Rule
from hwnat.targets.trace import Node


def _conv(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    x, weight, bias = m.input(node), m.constant(node, 1), m.constant(node, 2)
    if weight.ndim != 4:
        why = f"a {weight.ndim - 2}-D convolution"
        raise Refused(why)
    stride, dilation = _pair(attrs, "strides"), _pair(attrs, "dilations")
    x, pad = _pads(m, node, attrs, x, (weight.shape[2:], stride, dilation))
    groups = int(attrs.get("group", 1))
    sizes = weight.shape[1] * groups, weight.shape[0], weight.shape[2:]
    conv = nn.Conv2d(*sizes, stride, pad, dilation, groups, bias=bias is not None)
    _fill(conv.weight, weight)
    if conv.bias is not None:
        _fill(conv.bias, bias)
    return m.call(node, conv, x)


def _pads(
    m: ModuleBuilder,
    node: Node,
    attrs: dict[str, Any],
    x: fx.Node,
    window: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
) -> tuple[fx.Node, tuple[int, int]]:
    """Return a window's input and padding; uneven padding becomes a module before the window."""
    edges = [int(edge) for edge in attrs.get("pads", (0, 0, 0, 0))]
    auto = attrs.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = []
        for size, kernel, stride, dilation in zip(m.shape(node)[2:], *window, strict=True):
            reach = (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1
            total.append(max(0, reach - size))
        less, more = [count // 2 for count in total], [count - count // 2 for count in total]
        edges = [*less, *more] if auto == "SAME_UPPER" else [*more, *less]
    top, left, bottom, right = edges
    if (top, left) != (bottom, right):
        return m.call(node, nn.ZeroPad2d((left, right, top, bottom)), x, mark="_pad"), (0, 0)
    return x, (top, left)


def _pool(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    if len(m.shape(node)) != 4 or len(node.outputs) > 1:
        why = "only 4-D pools with one output"
        raise Refused(why)
    kernel, stride = _pair(attrs, "kernel_shape"), _pair(attrs, "strides")
    average = node.kind == "AveragePool"
    dilation = _pair(attrs, "dilations")
    x, pad = _pads(m, node, attrs, m.input(node), (kernel, stride, dilation))
    if x is not m.input(node) and not average:
        why = "pads unevenly"
        raise Refused(why)
    up = bool(attrs.get("ceil_mode", 0))
    if average:
        counted = bool(attrs.get("count_include_pad", 0))
        if x is not m.input(node) and not counted:
            why = "averages over an uneven border without counting it"
            raise Refused(why)
        return m.call(node, nn.AvgPool2d(kernel, stride, pad, up, count_include_pad=counted), x)
    return m.call(node, nn.MaxPool2d(kernel, stride, pad, dilation, ceil_mode=up), x)


def _global(m: ModuleBuilder, node: Node, _: dict[str, Any]) -> fx.Node:
    most = node.kind == "GlobalMaxPool"
    return m.call(node, nn.AdaptiveMaxPool2d(1) if most else nn.AdaptiveAvgPool2d(1), m.input(node))


def _mean(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    axes = attrs.get("axes", m.constant(node, 1))
    if len(m.shape(node)) != 4 or axes is None or {int(a) % 4 for a in axes} != {2, 3}:
        why = "only a mean over height and width"
        raise Refused(why)
    x = m.call(node, nn.AdaptiveAvgPool2d(1), m.input(node))
    return x if attrs.get("keepdims", 1) else m.call(node, nn.Flatten(), x, mark="_flat")


def _norm(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    scale, *others = (m.constant(node, index) for index in range(1, 5))
    norm = nn.BatchNorm2d(len(scale), eps=float(attrs.get("epsilon", 1e-5)))
    for into, values in zip(
        (norm.weight, norm.bias, norm.running_mean, norm.running_var), (scale, *others), strict=True
    ):
        _fill(into, values)
    return m.call(node, norm, m.input(node))


def _gemm(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    weight, bias = m.constant(node, 1), m.constant(node, 2)
    plain = attrs.get("alpha", 1.0) == attrs.get("beta", 1.0) == 1.0 and not attrs.get("transA", 0)
    if not plain or weight.ndim != 2 or len(m.shape(node)) != 2:
        why = "only x W + b with a stored 2-D W and a 2-D x"
        raise Refused(why)
    weight = weight if attrs.get("transB", 0) else weight.T
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _fill(linear.weight, weight)
    if linear.bias is not None:
        _fill(linear.bias, np.broadcast_to(bias, linear.bias.shape))
    return m.call(node, linear, m.input(node))


def _flatten(m: ModuleBuilder, node: Node, _: dict[str, Any]) -> fx.Node:
    before, after = m.shape(node), m.source.shapes.get(node.outputs[0], ())
    if before == after:
        return m.input(node)
    if len(after) != 2 or not before or after[0] != before[0]:
        why = f"makes {after} of {before}; only a flattening of channels is known"
        raise Refused(why)
    return m.call(node, nn.Flatten(), m.input(node))


def _arithmetic(m: ModuleBuilder, node: Node, _: dict[str, Any]) -> fx.Node:
    if node.kind == "Mul" and (gate := _gated(m, node)) is not None:
        return gate
    both = m.input(node, 0), m.input(node, 1)
    return m.function(node, operator.add if node.kind in ("Add", "Sum") else operator.mul, both)


def _gated(m: ModuleBuilder, node: Node) -> fx.Node | None:
    """Recognise x tanh(softplus(x)), which older opsets use for Mish; None if it is not one."""
    producer = m.source.graph.producer
    for x, gate in (node.inputs[:2], node.inputs[1::-1]):
        made = producer.get(gate)
        chain = []
        while made is not None and made.kind in ("Sigmoid", "Tanh", "Softplus"):
            chain.append(made.kind)
            if made.inputs[0] == x:
                break
            made = producer.get(made.inputs[0])
        if made is None or made.inputs[:1] != (x,) or x not in m.made:
            continue
        if chain == ["Tanh", "Softplus"]:
            return m.call(node, nn.Mish(), m.made[x])
    return None


def _softplus(m: ModuleBuilder, node: Node, _: dict[str, Any]) -> fx.Node:
    """Skip a Softplus that is part of a Mish; the product at its end is imported instead."""
    graph = m.source.graph
    tanh = graph.followers(node)
    product = graph.followers(tanh[0]) if len(tanh) == 1 and tanh[0].kind == "Tanh" else []
    if len(product) != 1 or product[0].kind != "Mul" or node.inputs[0] not in product[0].inputs:
        why = "no rule, except as a part of a Mish"
        raise Refused(why)
    return m.input(node)


def _concat(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    axis = int(attrs["axis"]) % max(1, len(m.shape(node)))
    if axis != 1:
        why = f"joins along axis {axis}; only channels, axis 1, are known"
        raise Refused(why)
    parts = [m.input(node, index) for index in range(len(node.inputs))]
    return m.function(node, torch.cat, (parts, 1))


def _softmax(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    dims = len(m.shape(node))
    if int(attrs.get("axis", -1)) % dims != 1:
        why = "only along channels, axis 1"
        raise Refused(why)
    return m.call(node, nn.Softmax(dim=1), m.input(node))


def _clip(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    low, high = attrs.get("min", m.constant(node, 1)), attrs.get("max", m.constant(node, 2))
    if low is None or float(low) != 0.0 or (high is not None and float(high) != 6.0):
        why = f"clips to {low} and {high}; only 0 and 6 are known"
        raise Refused(why)
    return m.call(node, nn.ReLU() if high is None else nn.ReLU6(), m.input(node))


def _hard_sigmoid(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    alpha, beta = attrs.get("alpha", 0.2), attrs.get("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-6 or beta != 0.5:
        why = f"alpha {alpha}, beta {beta}; only 1/6 and 1/2 are known"
        raise Refused(why)
    return m.call(node, nn.Hardsigmoid(), m.input(node))


def _leaky(m: ModuleBuilder, node: Node, attrs: dict[str, Any]) -> fx.Node:
    return m.call(node, nn.LeakyReLU(float(attrs.get("alpha", 0.01))), m.input(node))


def _tanh(m: ModuleBuilder, node: Node, _: dict[str, Any]) -> fx.Node:
    before = m.source.graph.producer.get(node.inputs[0])
    if before is not None and before.kind == "Softplus":
        return m.input(node)
    return m.call(node, nn.Tanh(), m.input(node))


def _simple(kind: Callable[[], nn.Module]) -> "Rule":
    return lambda m, node, _: m.call(node, kind(), m.input(node))


def _pass(m: ModuleBuilder, node: Node, _: dict[str, Any]) -> fx.Node:
    return m.input(node)


def _fill(into: Any, values: Any) -> None:  # noqa: ANN401 - a tensor and an array
    with torch.no_grad():
        into.copy_(torch.from_numpy(np.array(values, np.float32)))


def _pair(attrs: dict[str, Any], name: str) -> tuple[int, int]:
    height, width = attrs.get(name, (1, 1))
    return int(height), int(width)


RULES: Final[dict[str, Rule]] = {
    "Conv": _conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global,
    "GlobalMaxPool": _global,
    "ReduceMean": _mean,
    "BatchNormalization": _norm,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Squeeze": _flatten,
    "Add": _arithmetic,
    "Sum": _arithmetic,
    "Mul": _arithmetic,
    "Concat": _concat,
    "Softmax": _softmax,
    "Softplus": _softplus,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky,
    "Tanh": _tanh,
    "Relu": _simple(nn.ReLU),
    "Elu": _simple(nn.ELU),
    "Sigmoid": _simple(nn.Sigmoid),
    "HardSwish": _simple(nn.Hardswish),
    "Gelu": _simple(nn.GELU),
    "Mish": _simple(nn.Mish),
    "Identity": _pass,
    "Dropout": _pass,
}
