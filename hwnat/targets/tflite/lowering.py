"""Lowering of a traced module to a TFLite file, node by node, by rules that the caller passes."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import fx, nn

from hwnat.errors import UsageError
from hwnat.targets.base import Floats
from hwnat.targets.tflite.file import FileBuilder
from hwnat.targets.tflite.window import Window, split

_SAME, _VALID = 0, 1
_BINARY: Final[dict[object, tuple[str, str]]] = {
    operator.add: ("ADD", "AddOptions"),
    operator.mul: ("MUL", "MulOptions"),
}

Rule = Callable[["Lowering", fx.Node, fx.Node, Any], int]


class Lowering:
    """Visits a traced graph once and appends its operators to a file."""

    def __init__(
        self, traced: fx.GraphModule, rules: "Mapping[type[nn.Module], Rule]", *, split: bool
    ) -> None:
        self.traced = traced
        self._rules = rules
        self.split = split
        self.file = FileBuilder()
        self.index: dict[fx.Node, int] = {}
        self.places: list[list[str]] = []
        self._last: dict[int, int] = {}

    def run(self) -> bytes:
        """Return the finished file."""
        inputs: list[int] = []
        outputs: list[int] = []
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self.index[node] = self.file.tensor(file_shape(node), "input")
                inputs.append(self.index[node])
            elif node.op == "get_attr":
                self.index[node] = self._stored(node)
            elif node.op == "output":
                outputs.append(self.index[self._operand(node, node.args[0])])
            else:
                self.index[node] = self._lower(node)
                self._note(node)
        if len(inputs) != 1 or not self.file.kinds:
            msg = f"A TFLite file needs one input and one operator; found {len(inputs)} inputs."
            raise UsageError(msg)
        return self.file.finish(inputs, outputs)

    def _stored(self, node: fx.Node) -> int:
        """Store a tensor of the module with its axes in the file's order."""
        *path, name = str(node.target).split(".")
        values = getattr(self.traced.get_submodule(".".join(path)), name).detach().numpy()
        return self.file.constant(values.transpose(0, 2, 3, 1) if values.ndim == 4 else values)

    def _note(self, node: fx.Node) -> None:
        """Record a node's operators; a node without any belongs to the operator of its source."""
        new = range(len(self.places), len(self.file.kinds))
        self.places += [[node.name] for _ in new]
        if new:
            self._last[self.index[node]] = new[-1]
        elif (position := self._last.get(self.index[node])) is not None:
            self.places[position].append(node.name)

    def _lower(self, node: fx.Node) -> int:
        module = module_of(self.traced, node)
        rule = None if module is None else self._rules.get(type(module))
        if rule is not None:
            return rule(self, node, self._operand(node, node.args[0]), module)
        if node.target is torch.cat:
            return self._concat(node)
        if node.target in _BINARY and not node.kwargs:
            kind, options = _BINARY[node.target]
            both = [self.index[self._operand(node, argument)] for argument in node.args]
            return self.emit(node, kind, both, options)
        known = ", ".join(kind.__name__ for kind in self._rules)
        raise self.refusal(node, f"is not supported; the writer supports {known}, +, *, cat")

    def _concat(self, node: fx.Node) -> int:
        """Concatenate along the channels, which are the last axis in the file."""
        parts, *dims = node.args
        dim = node.kwargs.get("dim", dims[0] if dims else 0)
        if dim != 1 or not isinstance(parts, list | tuple):
            raise self.refusal(node, f"joins along axis {dim}; only channels, axis 1, are known")
        inputs = [self.index[self._operand(node, part)] for part in parts]
        axis = len(shape(node)) - 1
        return self.emit(node, "CONCATENATION", inputs, "ConcatenationOptions", axis=axis)

    def module(self, node: fx.Node) -> nn.Module | None:
        """Return the module that a node calls."""
        return module_of(self.traced, node)

    def _operand(self, node: fx.Node, argument: object) -> fx.Node:
        if isinstance(argument, fx.Node) and argument in self.index:
            return argument
        raise self.refusal(node, f"takes {argument!r:.60}, which is not one computed tensor")

    def emit(self, node: fx.Node, kind: str, inputs: list[int], options: str, **fields: int) -> int:
        """Append an operator whose output has the shape of `node`."""
        return self.file.add(kind, inputs, file_shape(node), options, **fields)

    def refusal(self, node: fx.Node, why: str) -> UsageError:
        """Return the error that names an unsupported node and its place in the module."""
        module = module_of(self.traced, node)
        kind = node.target if module is None else type(module)
        place = node.name if module is None else node.target
        name = f"{getattr(kind, '__name__', kind)} at '{place}'"
        return UsageError(f"No TFLite form: {name} {why}. Export it to onnx or openvino instead.")

    def convolution(self, node: fx.Node, source: fx.Node, conv: nn.Conv2d) -> int:
        """Write a dense or depthwise convolution, into which its batch norm is already folded."""
        depthwise = conv.groups == conv.in_channels > 1
        problems = {
            f"pads with {conv.padding_mode}": conv.padding_mode != "zeros",
            f"pads '{conv.padding}'": isinstance(conv.padding, str),
        }
        for what, wrong in problems.items():
            if wrong:
                raise self.refusal(node, f"{what}, which the writer does not know")
        rows, columns = conv_windows(source, node, conv)
        weight, bias = values(conv)
        if not depthwise:
            return self._place(node, source, (rows, columns), (weight.transpose(0, 2, 3, 1), bias))
        weight = weight.transpose(1, 2, 3, 0)
        plain = self.split and conv.dilation == (1, 1)
        parts = split(columns, weight) if plain else [(columns, weight)]
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
        stored: tuple[Floats, Floats],
    ) -> int:
        """Append one convolution; padding that is neither SAME nor VALID becomes a PAD.

        Args:
            node: node of the convolution.
            source: node that computes its input.
            axes: windows along height and width.
            stored: weight as (out, height, width, in), or (1, height, width, out) if depthwise,
                and bias.
        """
        (rows, columns), (weight, bias) = axes, stored
        tensor, padding = self.index[source], _SAME if rows.is_same and columns.is_same else _VALID
        if padding == _VALID and any(rows.overhang + columns.overhang):
            tensor = self.pad(source, rows.overhang, columns.overhang)
        fields = {
            "padding": padding,
            "strideH": rows.stride,
            "strideW": columns.stride,
            "dilationHFactor": rows.dilation,
            "dilationWFactor": columns.dilation,
        }
        kind, options = "CONV_2D", "Conv2DOptions"
        if len(weight) != len(bias):
            kind, options = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
            fields["depthMultiplier"] = len(bias) // file_shape(source)[3]
        inputs = [tensor, self.file.constant(weight), self.file.constant(bias)]
        return self.emit(node, kind, inputs, options, **fields)

    def pad(self, source: fx.Node, rows: tuple[int, int], columns: tuple[int, int]) -> int:
        """Append a PAD that adds zeros before and after height and width."""
        zeros = np.array([(0, 0), rows, columns, (0, 0)], np.int32)
        size = (zeros.sum(axis=1) + file_shape(source)).tolist()
        inputs = [self.index[source], self.file.constant(zeros)]
        return self.file.add("PAD", inputs, size, "PadOptions")

    def linear(self, node: fx.Node, source: fx.Node, linear: nn.Linear) -> int:
        """Write a fully connected layer, which also flattens a 1x1 map."""
        if len(shape(node)) != 2:
            raise self.refusal(node, f"maps {len(shape(node))}-D tensors, only 2-D ones are known")
        inputs = [self.index[source], *map(self.file.constant, values(linear))]
        return self.emit(node, "FULLY_CONNECTED", inputs, "FullyConnectedOptions")

    def flatten(self, node: fx.Node, source: fx.Node, _: nn.Flatten) -> int:
        """Flatten a 1x1 map, for which NHWC and NCHW agree; before linear layers, write nothing."""
        batch, channels, *rest = shape(source)
        if shape(node) != (batch, channels) or any(size != 1 for size in rest):
            raise self.refusal(node, f"flattens {shape(source)}; only 1x1 maps are known")
        if all(isinstance(module_of(self.traced, user), nn.Linear) for user in node.users):
            return self.index[source]
        size = self.file.constant(np.array([batch, channels], np.int32))
        return self.emit(node, "RESHAPE", [self.index[source], size], "ReshapeOptions")

    def binary(self, node: fx.Node, kind: str, left: int, right: int) -> int:
        """Append an element-wise operator over two tensors."""
        return self.emit(node, kind, [left, right], f"{kind.capitalize()}Options")


def module_of(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls; None if it calls none."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's output as in torch."""
    return tuple(node.meta["tensor_meta"].shape)


def file_shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's output as in the file: NHWC."""
    size = shape(node)
    return (size[0], *size[2:], size[1]) if len(size) == 4 else size


def values(layer: nn.Conv2d | nn.Linear) -> tuple[Floats, Floats]:
    """Return a layer's weight and bias; the bias is zeros if the layer has none."""
    weight: Floats = layer.weight.detach().numpy()
    if layer.bias is None:
        return weight, np.zeros(len(weight), np.float32)
    return weight, layer.bias.detach().numpy()


def conv_windows(source: fx.Node, node: fx.Node, conv: nn.Conv2d) -> tuple[Window, Window]:
    """Return the windows of a convolution along height and width."""
    sizes = zip(shape(source)[2:], shape(node)[2:], strict=True)
    rows, columns = (
        Window(
            size,
            out,
            conv.kernel_size[axis],
            conv.stride[axis],
            int(conv.padding[axis]),
            conv.dilation[axis],
        )
        for axis, (size, out) in enumerate(sizes)
    )
    return rows, columns
