"""What a rule reads of one ONNX node; what it leaves unread is refused by name.

A rule asks for attributes, inputs and outputs one by one. The reader remembers them, so that no
rule has to list what it does not support.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

#: Types of computed tensors; other formats lack half floats and doubles, or compute them otherwise.
DTYPES: Final = {
    "float32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


class Refused(Exception):
    """The reason why one node cannot be imported."""


class Importing(Protocol):
    """The import that a node belongs to; see `hwnat.targets.onnx.builder.ModuleBuilder`."""

    opset: int
    values: dict[str, npt.NDArray[Any]]

    def tensor(self, name: str) -> fx.Node:
        """Return the module node of a value."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value."""
        ...

    def dtype(self, name: str) -> str:
        """Return the NumPy name of a value's type."""
        ...

    def is_read(self, name: str) -> bool:
        """Whether anything reads a value."""
        ...

    def lone(self, name: str) -> "Reader | None":
        """Return the node that computes a value, if just one node reads it."""
        ...

    def defaults(self, node: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the defaults of a node's attributes."""
        ...

    def call(self, place: str, module: nn.Module, x: fx.Node, *, mark: str = "") -> fx.Node:
        """Append a module."""
        ...

    def function(self, place: str, function: Any, arguments: tuple[Any, ...]) -> fx.Node:  # noqa: ANN401
        """Append a function."""
        ...

    def constant(self, values: npt.NDArray[Any]) -> fx.Node:
        """Store a tensor."""
        ...


class Reader:
    """One node: its attributes, inputs and outputs.

    Attributes:
        kind: operator of the node.
        name: name of the node.
        opset: version of the operator set.
    """

    def __init__(self, builder: Importing, node: Any) -> None:  # noqa: ANN401 - no types
        import onnx

        self._builder, self._node = builder, node
        self.kind, self.name, self.opset = str(node.op_type), str(node.name), builder.opset
        self._given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self._read: set[str] = set()
        self._used: set[int] = set()

    def attribute(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return an attribute; text comes as str."""
        self._read.add(name)
        value = self._given.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def skip(self, *names: str) -> None:
        """Accept attributes that change nothing when a network runs."""
        self._read.update(names)

    @property
    def inputs(self) -> int:
        """Number of inputs, including absent ones before the last."""
        return len(self._node.input)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self._node.output)

    def has(self, index: int) -> bool:
        """Whether an input is present."""
        return index < len(self._node.input) and bool(self._node.input[index])

    def _value(self, index: int) -> str:
        self._used.add(index)
        if not self.has(index):
            why = f"input {index} is absent"
            raise Refused(why)
        return str(self._node.input[index])

    def is_stored(self, index: int) -> bool:
        """Whether an input is present and stored in the file."""
        return self.has(index) and self._node.input[index] in self._builder.values

    def input(self, index: int = 0) -> fx.Node:
        """Return the module node that computes or stores an input.

        Raises:
            Refused: the input is absent, or of a type that cannot be computed with.
        """
        return self._builder.tensor(self._value(index))

    def stored(self, index: int) -> npt.NDArray[Any] | None:
        """Return a stored input; None if it is absent.

        Raises:
            Refused: the input is computed.
        """
        self._used.add(index)
        if not self.has(index):
            return None
        if not self.is_stored(index):
            why = f"input {index} is computed, not stored"
            raise Refused(why)
        values: npt.NDArray[Any] = self._builder.values[self._node.input[index]]
        return values

    def weights(self, index: int) -> npt.NDArray[Any]:
        """Return a stored input that must be present.

        Raises:
            Refused: the input is absent or computed.
        """
        values = self.stored(index)
        if values is None:
            why = f"input {index} is absent"
            raise Refused(why)
        return values

    def integers(self, name: str, index: int) -> list[int] | None:
        """Return a list that old opsets keep as an attribute and new ones as a stored input."""
        values = self.stored(index)
        if values is None:
            listed: list[int] | None = self.attribute(name)
            return listed
        return [int(value) for value in np.asarray(values).reshape(-1)]

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of an input.

        Raises:
            Refused: shape inference did not reach it.
        """
        return self._builder.shape(self._value(index))

    def dtype(self, index: int = 0) -> str:
        """Return the NumPy name of an input's type; empty if unknown."""
        return self._builder.dtype(self._value(index))

    def result(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of an output.

        Raises:
            Refused: shape inference did not reach it.
        """
        return self._builder.shape(str(self._node.output[index]))

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """Return an attribute that names an axis, counted from the front.

        Raises:
            Refused: there is no such axis.
        """
        return axis_of(int(self.attribute(name, default)), rank)

    def call(self, module: nn.Module, x: fx.Node, *, mark: str = "") -> fx.Node:
        """Append a module."""
        return self._builder.call(self.name, module, x, mark=mark)

    def function(self, function: Any, *arguments: Any) -> fx.Node:  # noqa: ANN401
        """Append a function."""
        return self._builder.function(self.name, function, arguments)

    def constant(self, values: npt.NDArray[Any]) -> fx.Node:
        """Store a tensor that a rule computed."""
        return self._builder.constant(values)

    def producer(self, index: int) -> "Reader | None":
        """Return the node that computes an input, if nothing but this node reads it.

        Such a node is a part of a pattern; its own rule has run already.
        """
        return self._builder.lone(self._node.input[index]) if self.has(index) else None

    def source(self, index: int) -> str:
        """Return the name of an input, to compare with those of other nodes."""
        return str(self._node.input[index]) if self.has(index) else ""

    def finish(self, made: Sequence[fx.Node | None]) -> None:
        """Refuse what the rule did not read.

        Raises:
            Refused: an attribute, an input or an output that is used was not read; it is named.
        """
        defaults = self._builder.defaults(self._node)
        for name, value in self._given.items():
            if name not in self._read and value != defaults.get(name, ...):
                why = f"attribute {name} = {_shown(value)} is not supported"
                raise Refused(why)
        for index, value in enumerate(self._node.input):
            if value and index not in self._used:
                why = f"input {index}, '{value:.80}', is not supported"
                raise Refused(why)
        for index, value in enumerate(self._node.output):
            lost = index >= len(made) or made[index] is None
            if value and lost and self._builder.is_read(value):
                why = f"output {index}, '{value:.80}', is not supported"
                raise Refused(why)


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises:
        Refused: there is no such axis.
    """
    if not -rank <= axis < rank:
        why = f"axis {axis} of a tensor with {rank} axes"
        raise Refused(why)
    return axis % rank


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"{value.decode(errors='replace') if isinstance(value, bytes) else value!s:.40}"
