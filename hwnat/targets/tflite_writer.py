"""A TFLite file from a PyTorch module: NHWC throughout, so without layout transposes.

The module is traced by torch.fx, batch norms are folded, and each remaining module becomes one or
a few operators of version 1, which every runtime in use loads. A module that `_RULES` does not
list is refused by name: the writer never approximates. fp32 only.
"""

import operator
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.base import Floats
from hwnat.targets.tflite_file import FileBuilder
from hwnat.targets.tflite_window import Window, split

_SAME, _VALID = 0, 1
_BINARY: Final[dict[object, tuple[str, str]]] = {
    operator.add: ("ADD", "AddOptions"),
    operator.mul: ("MUL", "MulOptions"),
}


def write_tflite(
    module: nn.Module, input_shape: Shape, path: Path, *, split_depthwise: bool = True
) -> dict[str, int]:
    """Write `module`, which is in evaluation mode, for one fixed NCHW shape; return its counts.

    Args:
        module: what to write; it is not changed.
        input_shape: (batch, channels, height, width).
        path: the file to write.
        split_depthwise: write a depthwise convolution of more taps than XNNPACK has fast kernels
            for as a sum of dilated ones, each over some of its columns.

    Raises:
        UsageError: the module cannot be traced, or holds what the writer does not know.
    """
    lowering = _Lowering(_trace(module, input_shape), split_depthwise)
    path.write_bytes(lowering.run())
    kinds = lowering.file.kinds
    return {"operators": len(kinds), "transposes": kinds.count("TRANSPOSE")}


def _trace(module: nn.Module, input_shape: Shape) -> fx.GraphModule:
    """Trace, note the shape of every node, fold batch norms and drop identities."""
    from torch.fx.passes.shape_prop import ShapeProp

    try:
        # The tracer looks into its root, even where that is a rule's own kind.
        traced = fx.symbolic_trace(nn.Sequential(module) if type(module) in _RULES else module)
        with torch.no_grad():
            ShapeProp(traced).propagate(torch.zeros(input_shape))
    except (fx.proxy.TraceError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        msg = f"No TFLite file of {type(module).__name__} for input {input_shape}: {reason}"
        raise UsageError(msg) from error
    calls = Counter(node.target for node in traced.graph.nodes)
    for node in list(traced.graph.nodes):
        found = _module(traced, node)
        if type(found) is nn.BatchNorm2d:
            source = node.args[0]
            conv = _module(traced, source)
            if type(conv) is not nn.Conv2d or len(source.users) > 1 or calls[source.target] > 1:
                continue  # it stays, and no rule takes it
            traced.set_submodule(source.target, fuse_conv_bn_eval(conv, found))
        elif not isinstance(found, nn.Identity | nn.Dropout):
            continue
        node.replace_all_uses_with(node.args[0])
        traced.graph.erase_node(node)
    return traced


class _Lowering:
    """Walks a traced graph once and appends its operators to a file."""

    def __init__(self, traced: fx.GraphModule, split_depthwise: bool) -> None:
        self.traced = traced
        self.split = split_depthwise
        self.file = FileBuilder()
        self.index: dict[fx.Node, int] = {}

    def run(self) -> bytes:
        """Return the finished file."""
        inputs: list[int] = []
        outputs: list[int] = []
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self.index[node] = self.file.tensor(_file_shape(node), "input")
                inputs.append(self.index[node])
            elif node.op == "output":
                outputs.append(self.index[self._operand(node, node.args[0])])
            else:
                self.index[node] = self._lower(node)
        if len(inputs) != 1 or not self.file.kinds:
            msg = f"A TFLite file needs one input and one operator; found {len(inputs)} inputs."
            raise UsageError(msg)
        return self.file.finish(inputs, outputs)

    def _lower(self, node: fx.Node) -> int:
        module = _module(self.traced, node)
        rule = None if module is None else _RULES.get(type(module))
        if rule is not None:
            return rule(self, node, self._operand(node, node.args[0]), module)
        if node.target in _BINARY and not node.kwargs:
            kind, options = _BINARY[node.target]
            both = [self.index[self._operand(node, argument)] for argument in node.args]
            return self.emit(node, kind, both, options)
        known = ", ".join(kind.__name__ for kind in _RULES)
        raise self.refusal(node, f"is not among what the writer knows: {known}, +, *")

    def _operand(self, node: fx.Node, argument: object) -> fx.Node:
        if isinstance(argument, fx.Node) and argument in self.index:
            return argument
        raise self.refusal(node, f"takes {argument!r:.60}, which is not one computed tensor")

    def emit(self, node: fx.Node, kind: str, inputs: list[int], options: str, **fields: int) -> int:
        """Append an operator whose output has the shape of `node`."""
        return self.file.add(kind, inputs, _file_shape(node), options, **fields)

    def refusal(self, node: fx.Node, why: str) -> UsageError:
        """Return the error that names what cannot be written and where it stands."""
        module = _module(self.traced, node)
        kind = node.target if module is None else type(module)
        place = node.name if module is None else node.target
        name = f"{getattr(kind, '__name__', kind)} at '{place}'"
        return UsageError(f"No TFLite form: {name} {why}. Export it to onnx or openvino instead.")

    def convolution(self, node: fx.Node, source: fx.Node, conv: nn.Conv2d) -> int:
        """Write a dense or depthwise convolution, whose batch norm is folded in already."""
        depthwise = conv.groups == conv.in_channels > 1
        problems = {
            f"has {conv.groups} groups": conv.groups != 1 and not depthwise,
            f"has dilation {conv.dilation}": conv.dilation != (1, 1),
            f"pads with {conv.padding_mode}": conv.padding_mode != "zeros",
            f"pads '{conv.padding}'": isinstance(conv.padding, str),
        }
        for what, wrong in problems.items():
            if wrong:
                raise self.refusal(node, f"{what}, which the writer does not know")
        rows, columns = _windows(source, node, conv)
        weight, bias = _values(conv)
        if not depthwise:
            return self._place(node, source, (rows, columns), (weight.transpose(0, 2, 3, 1), bias))
        weight = weight.transpose(1, 2, 3, 0)
        parts = split(columns, weight) if self.split else [(columns, weight)]
        first, *others = (
            self._place(node, source, (rows, some), (part, bias if index == 0 else 0 * bias))
            for index, (some, part) in enumerate(parts)
        )
        for term in others:
            first = self.emit(node, "ADD", [first, term], "AddOptions")
        return first

    def _place(
        self,
        node: fx.Node,
        source: fx.Node,
        axes: tuple[Window, Window],
        values: tuple[Floats, Floats],
    ) -> int:
        """Append one convolution; zeros that neither SAME nor VALID means become a PAD.

        Args:
            node: what is computed.
            source: what it is computed from.
            axes: windows along height and width.
            values: weight as (out, height, width, in), or (1, height, width, out) if depthwise,
                and bias.
        """
        (rows, columns), (weight, bias) = axes, values
        tensor, padding = self.index[source], _SAME if rows.is_same and columns.is_same else _VALID
        if padding == _VALID and any(rows.overhang + columns.overhang):
            tensor = self._pad(source, rows.overhang, columns.overhang)
        fields = {
            "padding": padding,
            "strideH": rows.stride,
            "strideW": columns.stride,
            "dilationWFactor": columns.dilation,
        }
        kind, options = "CONV_2D", "Conv2DOptions"
        if len(weight) != len(bias):
            kind, options = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
            fields["depthMultiplier"] = len(bias) // _file_shape(source)[3]
        inputs = [tensor, self.file.constant(weight), self.file.constant(bias)]
        return self.emit(node, kind, inputs, options, **fields)

    def _pad(self, source: fx.Node, rows: tuple[int, int], columns: tuple[int, int]) -> int:
        zeros = np.array([(0, 0), rows, columns, (0, 0)], np.int32)
        shape = (zeros.sum(axis=1) + _file_shape(source)).tolist()
        inputs = [self.index[source], self.file.constant(zeros)]
        return self.file.add("PAD", inputs, shape, "PadOptions")

    def linear(self, node: fx.Node, source: fx.Node, linear: nn.Linear) -> int:
        """Write a fully connected layer; it flattens a 1x1 map by itself."""
        if len(_shape(node)) != 2:
            raise self.refusal(node, f"maps {len(_shape(node))}-D tensors, only 2-D ones are known")
        inputs = [self.index[source], *map(self.file.constant, _values(linear))]
        return self.emit(node, "FULLY_CONNECTED", inputs, "FullyConnectedOptions")

    def flatten(self, node: fx.Node, source: fx.Node, _: nn.Flatten) -> int:
        """Flatten a 1x1 map, where NHWC and NCHW agree; free in front of a linear layer."""
        batch, channels, *rest = _shape(source)
        if _shape(node) != (batch, channels) or any(size != 1 for size in rest):
            raise self.refusal(node, f"flattens {_shape(source)}; only 1x1 maps are known")
        if all(isinstance(_module(self.traced, user), nn.Linear) for user in node.users):
            return self.index[source]
        shape = self.file.constant(np.array([batch, channels], np.int32))
        return self.emit(node, "RESHAPE", [self.index[source], shape], "ReshapeOptions")

    def pool(self, node: fx.Node, source: fx.Node, pool: nn.AdaptiveAvgPool2d) -> int:
        """Write a global average pool."""
        if pool.output_size not in (1, (1, 1)):
            raise self.refusal(node, f"pools to {pool.output_size}; only 1 is known")
        inputs = [self.index[source], self.file.constant(np.array([1, 2], np.int32))]
        return self.emit(node, "MEAN", inputs, "ReducerOptions", keepDims=True)

    def relu(self, node: fx.Node, source: fx.Node, _: nn.ReLU) -> int:
        """Let the operator before do it if nobody else reads that one's output."""
        x = self.index[source]
        if len(source.users) == 1 and self.file.fuse(x, "RELU"):
            return x
        return self.emit(node, "RELU", [x], "NONE")

    def hardswish(self, node: fx.Node, source: fx.Node, _: nn.Hardswish) -> int:
        """Write the native operator."""
        return self.emit(node, "HARD_SWISH", [self.index[source]], "HardSwishOptions")

    def hardsigmoid(self, node: fx.Node, source: fx.Node, _: nn.Hardsigmoid) -> int:
        """Write relu6(x + 3) / 6, which XNNPACK takes whole."""
        shifted = self._binary(node, "ADD", self.index[source], self.file.scalar(3))
        self.file.fuse(shifted, "RELU6")
        return self._binary(node, "MUL", shifted, self.file.scalar(1 / 6))

    def mish(self, node: fx.Node, source: fx.Node, _: nn.Mish) -> int:
        """Write x q / (2 - q) with q = s (2 - s), s = sigmoid(x).

        That is x tanh(softplus(x)), since tanh(log(1 + e^x)) = (1 - a^2) / (1 + a^2) with
        a = 1 - s; it neither overflows nor cancels, and XNNPACK takes every step.
        """
        x, two = self.index[source], self.file.scalar(2)
        s = self.emit(node, "LOGISTIC", [x], "NONE")
        q = self._binary(node, "MUL", s, self._binary(node, "SUB", two, s))
        gate = self._binary(node, "DIV", q, self._binary(node, "SUB", two, q))
        return self._binary(node, "MUL", x, gate)

    def _binary(self, node: fx.Node, kind: str, left: int, right: int) -> int:
        return self.emit(node, kind, [left, right], f"{kind.capitalize()}Options")


#: What the writer knows. Types match exactly: a subclass may compute something else.
_RULES: Final[dict[type[nn.Module], Callable[[_Lowering, fx.Node, fx.Node, Any], int]]] = {
    nn.Conv2d: _Lowering.convolution,
    nn.Linear: _Lowering.linear,
    nn.Flatten: _Lowering.flatten,
    nn.AdaptiveAvgPool2d: _Lowering.pool,
    nn.ReLU: _Lowering.relu,
    nn.Hardswish: _Lowering.hardswish,
    nn.Hardsigmoid: _Lowering.hardsigmoid,
    nn.Mish: _Lowering.mish,
}


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _file_shape(node: fx.Node) -> tuple[int, ...]:
    shape = _shape(node)
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _values(layer: nn.Conv2d | nn.Linear) -> tuple[Floats, Floats]:
    """Return weight and bias, zeros if the layer has none."""
    weight: Floats = layer.weight.detach().numpy()
    if layer.bias is None:
        return weight, np.zeros(len(weight), np.float32)
    return weight, layer.bias.detach().numpy()


def _windows(source: fx.Node, node: fx.Node, conv: nn.Conv2d) -> tuple[Window, Window]:
    sizes = zip(_shape(source)[2:], _shape(node)[2:], strict=True)
    rows, columns = (
        Window(size, out, conv.kernel_size[axis], conv.stride[axis], int(conv.padding[axis]))
        for axis, (size, out) in enumerate(sizes)
    )
    return rows, columns
