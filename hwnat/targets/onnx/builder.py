"""The builder that turns the nodes of an ONNX graph into a PyTorch module, one by one."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from torch import fx, nn

from hwnat.errors import UsageError
from hwnat.targets.onnx.graph import OnnxModel
from hwnat.targets.trace import Node

_SHOWN: Final = 10

Rule = Callable[["ModuleBuilder", Node, dict[str, Any]], fx.Node]


class Refused(Exception):
    """The reason why one node cannot be imported."""


class ModuleBuilder:
    """Visits the nodes in order and appends a module for each one."""

    def __init__(self, source: OnnxModel, rules: "Mapping[str, Rule]") -> None:
        import onnx

        self.source, self.graph, self.root = source, fx.Graph(), nn.Module()
        self._rules = rules
        self.values = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in source.model.graph.initializer
        }
        self.made: dict[str, fx.Node] = {}
        self.names: dict[str, str] = {}

    def run(self, image: str, path: Path) -> None:
        """Import every node that a result depends on."""
        self.made[image] = self.graph.placeholder("input")
        dead = {
            removed.node for removed in self.source.graph.removed(set()) if "reads" in removed.why
        }
        refused = []
        for node in self.source.graph.nodes:
            if node.name in dead or self._constant(node):
                continue
            try:
                self._import(node)
            except Exception as why:  # noqa: BLE001 - attributes of any form reach the rules
                reason = str(why) if isinstance(why, Refused) else f"damaged: {why!r:.100}"
                refused.append(f"{node.kind} at '{node.name}' ({reason})")
                # Go on, so that the message can name every node that cannot be imported.
                self.made.update(dict.fromkeys(node.outputs, self.made[image]))
        if refused:
            more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
            msg = (
                f"{path} has no TFLite form: {'; '.join(refused[:_SHOWN])}{more}. Use a table of "
                "onnx or openvino, or give the .tflite file."
            )
            raise UsageError(msg)

    def finish(self) -> fx.GraphModule:
        """Return the finished module, whose output is the graph's first output."""
        first = self.source.model.graph.output[0].name
        self.graph.output(self.made[first])
        return fx.GraphModule(self.root, self.graph).eval().requires_grad_(False)

    def _constant(self, node: Node) -> bool:
        """Record the value of a node without computed inputs; return whether it is one."""
        import onnx

        if node.kind == "Constant":
            value = self.source.attributes(node.name)
            if "value" in value:
                self.values[node.outputs[0]] = onnx.numpy_helper.to_array(value["value"])
            return True
        if node.kind == "Identity" and node.inputs[0] in self.values:
            self.values[node.outputs[0]] = self.values[node.inputs[0]]
            return True
        # Shape arithmetic: only a Reshape reads it, and the shape of its output is known anyway.
        return all(value in self.source.graph.constants for value in node.outputs)

    def _import(self, node: Node) -> None:
        rule = self._rules.get(node.kind)
        if rule is None:
            why = "no rule"
            raise Refused(why)
        self.made[node.outputs[0]] = rule(self, node, self.source.attributes(node.name))

    def input(self, node: Node, index: int = 0) -> fx.Node:
        """Return the module node that computes an input.

        Raises:
            Refused: the input is a constant or absent.
        """
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self.made:
            why = f"input {index} is not a computed tensor"
            raise Refused(why)
        return self.made[name]

    def constant(self, node: Node, index: int) -> Any:  # noqa: ANN401 - an array
        """Return a stored input; None if there are fewer inputs."""
        if index >= len(node.inputs):
            return None
        if node.inputs[index] not in self.values:
            why = f"input {index} is computed, not stored"
            raise Refused(why)
        return self.values[node.inputs[index]]

    def shape(self, node: Node) -> tuple[int, ...]:
        """Return the shape of the first input."""
        return self.source.shapes.get(node.inputs[0], ())

    def call(self, node: Node, module: nn.Module, x: fx.Node, *, mark: str = "") -> fx.Node:
        """Append a module."""
        name = re.sub(r"\W+", "_", node.name).strip("_") or "node"
        name = f"n{name}" if name[0].isdigit() else name
        name += mark
        while hasattr(self.root, name):
            name += "_"
        self.root.add_module(name, module)
        made = self.graph.create_node("call_module", name, (x,), name=name)
        self.names[made.name] = node.name
        return made

    def function(self, node: Node, function: Any, arguments: tuple[Any, ...]) -> fx.Node:  # noqa: ANN401
        """Append a function."""
        made = self.graph.call_function(function, arguments)
        self.names[made.name] = node.name
        return made
