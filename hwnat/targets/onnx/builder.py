"""The builder that turns the nodes of an ONNX graph into a PyTorch module, one by one."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from hwnat.errors import UsageError
from hwnat.targets.limits import check_tensor, reading
from hwnat.targets.onnx.graph import OnnxModel
from hwnat.targets.onnx.reader import DTYPES, Reader, Refused
from hwnat.targets.trace import Node

_SHOWN: Final = 10
_RANDOM: Final = re.compile(r"Random(Normal|Uniform)(Like)?|Bernoulli|Multinomial")
#: Domains whose operators the rules describe.
_DOMAINS: Final = ("", "ai.onnx")

Rule = Callable[[Reader], "fx.Node | Sequence[fx.Node | None]"]


class ModuleBuilder:
    """Visits the nodes in order and appends modules and functions for each one."""

    def __init__(self, source: OnnxModel, rules: "Mapping[str, Rule]", path: Path) -> None:
        import onnx

        self.source, self.graph, self.root, self.path = source, fx.Graph(), nn.Module(), path
        self._rules = rules
        versions = {opset.domain: opset.version for opset in source.model.opset_import}
        self.opset = int(versions.get("", versions.get("ai.onnx", 1)))
        self.values: dict[str, npt.NDArray[Any]] = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in source.model.graph.initializer
        }
        self.made: dict[str, fx.Node] = {}
        self.names: dict[str, str] = {}
        self._shapes, self._types = dict(source.shapes), dict(source.types)
        self._constants = 0

    def run(self) -> None:
        """Import every node that a result depends on.

        Raises:
            UsageError: some nodes cannot be imported; the message names the first ones.
        """
        for name in self.source.inputs:
            made = self.graph.placeholder(f"input_{len(self.made)}" if self.made else "input")
            made.meta["file_name"] = name
            self.made[name] = made
        dead = {
            removed.node for removed in self.source.graph.removed(set()) if "reads" in removed.why
        }
        refused = []
        for node in self.source.graph.nodes:
            if node.name in dead or self._folded(node):
                continue
            try:
                self._import(node)
            except Exception as why:  # noqa: BLE001 - attributes of any form reach the rules
                reason = str(why) if isinstance(why, Refused) else f"damaged: {why!r:.100}"
                refused.append(f"{node.kind} at '{node.name}' ({reason})")
                # Go on, so that the message can name every node that cannot be imported.
                first = next(iter(self.made.values()))
                self.made.update(dict.fromkeys(node.outputs, first))
        if refused:
            raise no_form(self.path, refused)

    def finish(self) -> fx.GraphModule:
        """Return the finished module with the graph's outputs in order, as a tuple if several."""
        names = [value.name for value in self.source.model.graph.output]
        try:
            results = [self.tensor(name) for name in names]
        except Refused as why:
            raise no_form(self.path, [str(why)]) from why
        output = self.graph.output(results[0] if len(results) == 1 else tuple(results))
        output.meta["file_names"] = names
        module = fx.GraphModule(self.root, self.graph)
        # What became part of a recognised pattern is read by nothing.
        module.graph.eliminate_dead_code()
        module.recompile()
        return module.eval().requires_grad_(False)

    def _folded(self, node: Node) -> bool:
        """Compute the value of a node without computed inputs; return whether it is one.

        Raises:
            DataError: ONNX cannot compute it.
        """
        if _RANDOM.fullmatch(node.kind) or not all(
            value in self.source.graph.constants for value in node.outputs
        ):
            return False
        proto = self.source.nodes[node.name]
        if node.kind in ("Shape", "Size"):
            return self._sized(proto)
        known = all(value in self.values for value in node.inputs)
        if not known or proto.domain not in _DOMAINS:
            return False
        with reading(self.path, "ONNX"):
            results = self._evaluated(proto)
        for name, value in zip(proto.output, results, strict=False):
            if name:
                self._record(name, np.asarray(value))
        return True

    def _sized(self, proto: Any) -> bool:  # noqa: ANN401
        """Record a fixed shape; return whether it is known."""
        value = proto.input[0]
        shape = self._shapes.get(value)
        if shape is None and value in self.values:
            shape = self.values[value].shape
        if shape is None:
            return False
        bounds = {a.name: a.i for a in proto.attribute}
        part = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
        size = np.prod(shape) if proto.op_type == "Size" else part
        self._record(proto.output[0], np.asarray(size, np.int64))
        return True

    def _evaluated(self, proto: Any) -> list[Any]:  # noqa: ANN401
        """Return the outputs of a node whose inputs are known."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        given = list(dict.fromkeys(filter(None, proto.input)))
        wanted = [onnx.ValueInfoProto(name=name) for name in proto.output if name]
        taken = [
            onnx.helper.make_tensor_value_info(
                name,
                onnx.helper.np_dtype_to_tensor_dtype(self.values[name].dtype),
                self.values[name].shape,
            )
            for name in given
        ]
        graph = onnx.helper.make_graph([proto], "constant", taken, wanted)
        model = onnx.helper.make_model(graph, opset_imports=self.source.model.opset_import)
        feed = {name: self.values[name] for name in given}
        results = iter(ReferenceEvaluator(model).run(None, feed))
        return [next(results) if name else None for name in proto.output]

    def _record(self, name: str, value: npt.NDArray[Any]) -> None:
        check_tensor(name, value.shape, self.path, item_bytes=value.dtype.itemsize)
        self.values[name], self._shapes[name] = value, value.shape

    def _import(self, node: Node) -> None:
        proto = self.source.nodes[node.name]
        rule = self._rules.get(node.kind) if proto.domain in _DOMAINS else None
        if rule is None:
            why = "no rule" if proto.domain in _DOMAINS else f"domain {proto.domain:.40}"
            raise Refused(why)
        reader = Reader(self, proto)
        made = rule(reader)
        results = [made] if isinstance(made, fx.Node) else list(made)
        reader.finish(results)
        for name, result in zip(proto.output, results, strict=False):
            if name and result is not None:
                self.made[name] = result

    def tensor(self, name: str) -> fx.Node:
        """Return the module node of a value; a stored one becomes a constant of the module.

        Raises:
            Refused: the value is not known, or of a type that cannot be computed with.
        """
        kind = self.dtype(name)
        if kind and kind not in DTYPES:
            why = f"'{name:.80}' is {kind}; known are {', '.join(DTYPES)}"
            raise Refused(why)
        if name not in self.made:
            if name not in self.values:
                why = f"'{name:.80}' is not a tensor that was computed"
                raise Refused(why)
            self.made[name] = self.constant(self.values[name])
        return self.made[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value.

        Raises:
            Refused: shape inference did not reach it.
        """
        if name not in self._shapes:
            why = f"the shape of '{name:.80}' is not known"
            raise Refused(why)
        return self._shapes[name]

    def dtype(self, name: str) -> str:
        """Return the NumPy name of a value's type; empty if unknown."""
        import onnx

        if name in self.values:
            return str(self.values[name].dtype)
        kind = self._types.get(name, 0)
        return str(onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else ""

    def is_read(self, name: str) -> bool:
        """Whether a node reads a value or the graph returns it."""
        return name in self.source.graph.readers or name in self.source.graph.results

    def lone(self, name: str) -> Reader | None:
        """Return the node that computes a value, if just one node reads it."""
        node = self.source.graph.producer.get(name)
        readers = self.source.graph.readers.get(name, ())
        if node is None or len(readers) != 1 or name in self.source.graph.results:
            return None
        return Reader(self, self.source.nodes[node.name])

    def defaults(self, node: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the defaults of a node's attributes; giving one is the same as leaving it out."""
        import onnx

        schema = onnx.defs.get_schema(node.op_type, self.opset, "")
        values = ((name, a.default_value) for name, a in schema.attributes.items())
        return {
            name: onnx.helper.get_attribute_value(value) for name, value in values if value.type
        }

    def call(self, place: str, module: nn.Module, x: fx.Node, *, mark: str = "") -> fx.Node:
        """Append a module for the node named `place`."""
        name = re.sub(r"\W+", "_", place, flags=re.ASCII).strip("_") or "node"
        name = f"n{name}" if name[0].isdigit() else name
        name += mark
        while hasattr(self.root, name):
            name += "_"
        self.root.add_module(name, module)
        made = self.graph.create_node("call_module", name, (x,), name=name)
        self.names[made.name] = place
        return made

    def function(self, place: str, function: Any, arguments: tuple[Any, ...]) -> fx.Node:  # noqa: ANN401
        """Append a function for the node named `place`."""
        made = self.graph.call_function(function, arguments)
        self.names[made.name] = place
        return made

    def constant(self, values: npt.NDArray[Any]) -> fx.Node:
        """Store a tensor in the module."""
        name = f"constant_{self._constants}"
        self._constants += 1
        self.root.register_buffer(name, torch.from_numpy(np.array(values)))
        return self.graph.get_attr(name)


def no_form(path: Path, refused: Sequence[str]) -> UsageError:
    """Return the error for a file that has parts without a rule."""
    more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    return UsageError(
        f"{path} has no TFLite form: {'; '.join(refused[:_SHOWN])}{more}. Use a table of onnx or "
        "openvino, or convert it with onnx2tf in an environment of its own (a PyTorch module with "
        "litert-torch) and give the .tflite file."
    )
