"""Lowering of a traced module to a TFLite file, node by node, by rules that the caller passes.

A tensor lies in the file either with its channels last, as convolutions want maps, or plain, with
its axes as in the module. Every rule takes its operands in the order that suits it; a change of
order is a TRANSPOSE, or a RESHAPE if no element moves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from hwnat.errors import UsageError
from hwnat.targets.base import Floats
from hwnat.targets.tflite.file import FileBuilder
from hwnat.targets.tflite.window import Window, split

_SAME, _VALID = 0, 1
_FULL: Final = 2
#: Operators that no runtime knows in version 1.
_VERSIONS: Final = {"BROADCAST_TO": 2}
_TYPES: Final = {
    torch.float32: "float32",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.int32: "int32",
    torch.int64: "int64",
    torch.bool: "bool",
}

Rule = Callable[["Lowering", fx.Node, Any], int]


class Lowering:
    """Visits a traced graph once and appends its operators to a file.

    Attributes:
        last: nodes whose tensor has its channels last.
    """

    def __init__(self, traced: fx.GraphModule, rules: "Mapping[Any, Rule]", *, split: bool) -> None:
        self.traced = traced
        self._rules = rules
        self.split = split
        self.file = FileBuilder(_VERSIONS)
        self.last: set[fx.Node] = set()
        self.places: list[list[str]] = []
        #: Maps that a linear layer reads without a reshape -> the shape they have in the module.
        self.unflattened: dict[fx.Node, tuple[int, ...]] = {}
        self._index: dict[fx.Node, int] = {}
        self._ordered: dict[tuple[fx.Node, bool], int] = {}
        self._origin: dict[int, int] = {}

    def run(self) -> bytes:
        """Return the finished file.

        Raises:
            UsageError: a node has no TFLite form, or there is nothing to run.
        """
        inputs: list[int] = []
        outputs: list[int] = []
        if all(
            node.op in ("placeholder", "get_attr", "output") for node in self.traced.graph.nodes
        ):
            msg = "No TFLite form: the module has no operator, so there is nothing to run."
            raise UsageError(msg)
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self._place_home(node)
                name = node.meta.get("file_name", "input")
                self._index[node] = self.file.tensor(self.size(node), name, dtype=self.dtype(node))
                inputs.append(self._index[node])
            elif node.op == "output":
                outputs = self._results(node, inputs)
            elif node.op != "get_attr":
                self._place_home(node)
                self._index[node] = self._lower(node)
                self._note(node, self._index[node])
        return self.file.finish(inputs, outputs)

    def _place_home(self, node: fx.Node) -> None:
        """Assume that maps have their channels last; a rule may decide otherwise."""
        if "tensor_meta" not in node.meta or not hasattr(node.meta["tensor_meta"], "shape"):
            raise self.refusal(node, "returns several tensors; only one is known")
        if node.meta["tensor_meta"].dtype not in _TYPES:
            raise self.refusal(node, f"computes {node.meta['tensor_meta'].dtype}")
        if len(shape(node)) == 4:
            self.last.add(node)

    def _results(self, node: fx.Node, inputs: Sequence[int]) -> list[int]:
        """Return the outputs; each is a tensor of its own that an operator computes."""
        given = node.args[0]
        results = list(given) if isinstance(given, tuple | list) else [given]
        names = node.meta.get("file_names")
        if names is None and len(results) > 1:
            raise self.refusal(node, "has several results; only one is known")
        outputs: list[int] = []
        for position, result in enumerate(results):
            source = self.operand(node, result)
            last = len(shape(source)) == 4
            index = self.tensor(source, last=last)
            if index in inputs or index in outputs or source.op == "get_attr":
                size = self.size(source, last=last)
                index = self.reshape(index, size, self.dtype(source))
            if names is not None:
                self.file.rename(index, names[position])
            outputs.append(index)
            if len(self.file.kinds) > len(self.places):
                self._note(source, index)
        return outputs

    def _note(self, node: fx.Node, index: int) -> None:
        """Record a node's operators; a node without any belongs to the operator of its source."""
        new = range(len(self.places), len(self.file.kinds))
        self.places += [[node.name] for _ in new]
        if new:
            self._origin[index] = new[-1]
        elif (position := self._origin.get(index)) is not None:
            self.places[position].append(node.name)

    def _lower(self, node: fx.Node) -> int:
        module = module_of(self.traced, node)
        rule = self._rules.get(node.target if module is None else type(module))
        if rule is None or (module is None and node.kwargs and node.target is not torch.cat):
            known = ", ".join(kind.__name__ for kind in self._rules if isinstance(kind, type))
            raise self.refusal(node, f"is not supported; the writer supports {known}, +, *, cat")
        if module is not None:
            self.operand(node, node.args[0])
        return rule(self, node, module)

    def module(self, node: fx.Node) -> nn.Module | None:
        """Return the module that a node calls."""
        return module_of(self.traced, node)

    def operand(self, node: fx.Node, argument: object) -> fx.Node:
        """Return an argument that is one tensor.

        Raises:
            UsageError: it is something else.
        """
        if isinstance(argument, fx.Node) and (argument in self._index or argument.op == "get_attr"):
            return argument
        raise self.refusal(node, f"takes {argument!r:.60}, which is not one computed tensor")

    def stored(self, node: fx.Node) -> npt.NDArray[Any]:
        """Return a tensor of the module."""
        *path, name = str(node.target).split(".")
        owner = self.traced.get_submodule(".".join(path))
        values: npt.NDArray[Any] = getattr(owner, name).detach().numpy()
        return values

    def tensor(self, node: fx.Node, *, last: bool | None = None) -> int:
        """Return a node's tensor in the wanted order; None keeps the one it has."""
        rank = len(shape(node))
        wanted = (node in self.last if last is None else last) and rank > _FULL
        if node.op == "get_attr":
            key = node, wanted
            if key not in self._ordered:
                values = self.stored(node)
                values = values.transpose(order_of(rank, last=True)) if wanted else values
                self._ordered[key] = self.file.constant(values)
            return self._ordered[key]
        if wanted == (node in self.last):
            return self._index[node]
        if (node, wanted) not in self._ordered:
            order = order_of(rank, last=wanted)
            if not wanted:
                order = tuple(np.argsort(order_of(rank, last=True)).tolist())
            made = self.permute(self._index[node], self.size(node), order, self.dtype(node))
            self._ordered[node, wanted] = made
        return self._ordered[node, wanted]

    def permute(self, tensor: int, size: Sequence[int], order: Sequence[int], dtype: str) -> int:
        """Reorder the axes of a tensor of `size`; a RESHAPE does if no element moves."""
        after = [size[axis] for axis in order]
        if list(order) == sorted(order):
            return tensor
        moved = [axis for axis in order if size[axis] != 1]
        if moved == sorted(moved):
            return self.reshape(tensor, after, dtype)
        axes = self.file.constant(np.array(order, np.int32))
        return self.file.add("TRANSPOSE", [tensor, axes], after, "TransposeOptions", dtype=dtype)

    def reshape(self, tensor: int, size: Sequence[int], dtype: str) -> int:
        """Append a RESHAPE."""
        sides = self.file.constant(np.array(size, np.int32))
        return self.file.add("RESHAPE", [tensor, sides], size, "ReshapeOptions", dtype=dtype)

    def home(self, node: fx.Node, *, last: bool) -> None:
        """Decide the order of a node's axes in the file."""
        if last and len(shape(node)) > _FULL:
            self.last.add(node)
        else:
            self.last.discard(node)

    def size(self, node: fx.Node, *, last: bool | None = None) -> tuple[int, ...]:
        """Return the shape of a node in the file."""
        sides = shape(node)
        turned = node in self.last if last is None else last
        return tuple(sides[axis] for axis in order_of(len(sides), last=turned))

    def dtype(self, node: fx.Node) -> str:
        """Return the NumPy name of a node's type."""
        return _TYPES[node.meta["tensor_meta"].dtype]

    def axis(self, node: fx.Node, axis: int) -> int:
        """Return the place in the file of an axis of a node."""
        rank = len(shape(node))
        return order_of(rank, last=node in self.last).index(axis % rank)

    def emit(
        self,
        node: fx.Node,
        kind: str,
        inputs: list[int],
        options: str = "NONE",
        **fields: Any,  # noqa: ANN401
    ) -> int:
        """Append an operator whose output has the shape of `node`."""
        fields.setdefault("dtype", self.dtype(node))
        return self.file.add(kind, inputs, self.size(node), options, **fields)

    def refusal(self, node: fx.Node, why: str) -> UsageError:
        """Return the error that names an unsupported node and its place in the module."""
        module = module_of(self.traced, node)
        kind = node.target if module is None else type(module)
        place = node.name if module is None else node.target
        name = f"{getattr(kind, '__name__', kind)} at '{place}'"
        return UsageError(
            f"No TFLite form: {name} {why}. Export it to onnx or openvino, or write the .tflite "
            "file with litert-torch."
        )

    def convolution(self, node: fx.Node, conv: nn.Conv2d) -> int:
        """Write a dense or depthwise convolution, into which its batch norm is already folded."""
        source = self.operand(node, node.args[0])
        depthwise = conv.groups == conv.in_channels > 1
        problems = {
            f"pads with {conv.padding_mode}": conv.padding_mode != "zeros",
            f"pads '{conv.padding}'": isinstance(conv.padding, str),
            "takes a single image without a batch": len(shape(source)) != 4,
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
        same = rows.is_same and columns.is_same
        tensor, padding = self.tensor(source, last=True), _SAME if same else _VALID
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
            fields["depthMultiplier"] = len(bias) // shape(source)[1]
        inputs = [tensor, self.file.constant(weight), self.file.constant(bias)]
        return self.emit(node, kind, inputs, options, **fields)

    def pad(self, source: fx.Node, rows: tuple[int, int], columns: tuple[int, int]) -> int:
        """Append a PAD that adds zeros before and after height and width."""
        zeros = np.array([(0, 0), rows, columns, (0, 0)], np.int32)
        size = (zeros.sum(axis=1) + self.size(source, last=True)).tolist()
        inputs = [self.tensor(source, last=True), self.file.constant(zeros)]
        return self.file.add("PAD", inputs, size, "PadOptions")

    def binary(self, node: fx.Node, kind: str, left: int, right: int) -> int:
        """Append an element-wise operator over two tensors."""
        return self.emit(node, kind, [left, right], f"{kind.capitalize()}Options")


def module_of(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls; None if it calls none."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's output as in torch."""
    return tuple(node.meta["tensor_meta"].shape)


def order_of(rank: int, *, last: bool) -> tuple[int, ...]:
    """Return the axes of a tensor in the order in which a file has them."""
    return (0, *range(2, rank), 1) if last and rank > _FULL else tuple(range(rank))


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
