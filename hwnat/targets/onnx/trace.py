"""The kernels that ONNX Runtime executes, from its optimised graph and its profile.

The optimiser fuses convolutions with activations and sums, folds batch norms and changes layouts. A
node of the domain com.microsoft.nchwc works on blocks of channels and pads the last block. So
shapes are taken from the file if it contains the node, and from the profile otherwise.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any, Final

import numpy as np

from hwnat.errors import DataError
from hwnat.targets.kernel import ACTIVATIONS, VIEWS, Call, to_op
from hwnat.targets.limits import reading
from hwnat.targets.onnx.graph import OnnxModel, open_onnx
from hwnat.targets.onnx.session import open_session, session_options
from hwnat.targets.onnx.shapes import save_beside_data
from hwnat.targets.trace import Removed, Trace, TracedOp

#: ONNX Runtime's operator -> ONNX operator, where the names differ.
_SAME: Final = {"FusedConv": "Conv"}
#: Data type in the profile -> data type in a key.
_DTYPES: Final = {"float": "float32", "float16": "float16"}
_SUFFIX: Final = "_nchwc"
_CONVS: Final = frozenset({"Conv", "FusedConv"})
#: Suffix that the optimiser appends to a node's name -> operators that it fused into the node.
_JOINED: Final = {"MatMulAddFusion": {"Add"}, "MatMulScaleFusion": {"Mul", "Div"}}
#: Changes of layout; they copy another node's output and keep its name.
_INSERTED: Final = frozenset({"ReorderInput", "ReorderOutput"})
#: Number of profiled runs; the first one is slower because it allocates memory.
_RUNS: Final = 5


def trace_onnx(path: Path, *, runtime: str) -> Trace:
    """Load a file as it is timed, run it, and describe every kernel that ran.

    Raises:
        DataError: see `Target.trace`.
    """
    source = open_onnx(path, weights=False)
    with tempfile.TemporaryDirectory(prefix="hwnat-trace-") as folder:
        optimised, events = _run(path, source, Path(folder))
    return _Reading(source, optimised, events).trace(runtime)


def _run(path: Path, source: OnnxModel, folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    """Return the optimised model and the profile's events from several runs."""
    import onnx

    file = path
    if source.renamed:
        file = folder / path.name
        save_beside_data(source.model, path.parent, file)
    options = session_options(1)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    try:
        session = open_session(file, options)
    except DataError as error:
        raise DataError(str(error).replace(str(file), str(path))) from error
    with reading(path, "ONNX Runtime"):
        feed = {
            name: np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(kind))
            for name, (kind, shape) in source.inputs.items()
        }
        try:
            for _ in range(_RUNS):
                session.run(None, feed)
        finally:
            profile = session.end_profiling()
        events = json.loads(Path(profile).read_text())
        # Its tensors may refer to the data files of the model, and their shapes are enough.
        optimised = onnx.load(folder / "optimised.onnx", load_external_data=False)
    return optimised, [event for event in events if event.get("cat") == "Node"]


class _Reading:
    """Joins the file, the optimised graph and the profile."""

    def __init__(
        self,
        source: OnnxModel,
        optimised: Any,  # noqa: ANN401
        events: Sequence[Mapping[str, Any]],
    ) -> None:
        self.source, self.nodes = source, list(optimised.graph.node)
        self.events: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for event in events:
            name = str(event["name"])
            if name.endswith("_kernel_time"):
                self.events[name.removesuffix("_kernel_time")].append(event)
        self.stored = {tensor.name: tuple(tensor.dims) for tensor in optimised.graph.initializer}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: shape for name, (_, shape) in source.inputs.items()
        }
        anchors = {index: self._anchors(node) for index, node in enumerate(self.nodes)}
        self.groups = source.graph.group(anchors)

    def trace(self, runtime: str) -> Trace:
        """Describe every node of the optimised graph."""
        ops, views = [], []
        for index, node in enumerate(self.nodes):
            events = self.events[node.name] or [{}]
            arguments = events[0].get("args", {})
            self._note_shapes(index, node, arguments)
            if node.op_type in VIEWS:
                why = "another view of the same data"
                views += [
                    Removed(node=name, kind=self.source.nodes[name].op_type, why=why)
                    for name in self.groups[index]
                ]
                continue
            if all(name in self.stored for name in node.input if name):
                continue  # a constant that the optimiser left as a node
            op, reason = to_op(self._call(index, node, arguments))
            ops.append(
                TracedOp(
                    op=op,
                    reason=reason,
                    nodes=self.groups[index],
                    kernel=f"{node.domain or 'ai.onnx'}.{node.op_type}",
                    profile_ns=1000 * median_low(e["dur"] for e in events) if events[0] else None,
                )
            )
        executed = {name for names in self.groups.values() for name in names}
        removed = (*views, *self.source.graph.removed(executed))
        return Trace(
            target="onnx",
            runtime=runtime,
            batch=self.source.batch,
            ops=tuple(ops),
            removed=removed,
        )

    def _anchors(self, node: Any) -> list[str]:  # noqa: ANN401
        """Return the file's nodes that a node of the optimised graph was certainly made from.

        Its name is that of a node or a value in the file, perhaps with a suffix for the fusion. An
        activation or a sum that was fused later appears only in its attributes and inputs.
        """
        graph = self.source.graph
        stem, _, done = node.name.rstrip("/").rpartition("/")
        main = graph.by_name.get(node.name) or graph.by_name.get(stem)
        inserted = node.op_type in VIEWS or node.op_type in _INSERTED
        for value in (node.name.removesuffix(_SUFFIX), *([] if inserted else node.output)):
            main = main or graph.producer.get(value)
        if main is None:
            return []
        nodes, wanted = [main], []
        if node.op_type in _CONVS and len(node.input) > 3 and main.kind != "Add":
            wanted.append({"Add", "Sum"})
        wanted += [_JOINED[done]] if done in _JOINED else []
        act = self._attributes(node).get("activation", b"").decode()
        wanted += [{act}] if act and main.kind not in ACTIVATIONS else []
        for kinds in wanted:
            joined = [follower for follower in graph.followers(nodes[-1]) if follower.kind in kinds]
            if len(joined) == 1:
                nodes += joined
        return [member.name for member in nodes]

    @staticmethod
    def _attributes(node: Any) -> dict[str, Any]:  # noqa: ANN401
        import onnx

        return {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }

    def _note_shapes(self, index: int, node: Any, arguments: Mapping[str, Any]) -> None:  # noqa: ANN401
        """Record the shapes of a node's outputs, without the padding of blocked channels."""
        group = [self.source.graph.by_name[name] for name in self.groups[index]]
        made = self.source.shapes.get(group[-1].outputs[0]) if group else None
        ran = [
            tuple(next(iter(entry.values()))) for entry in arguments.get("output_type_shape", ())
        ]
        for position, value in enumerate(node.output):
            shape = ran[position] if position < len(ran) else None
            if value in self.source.shapes:
                shape = self.source.shapes[value]
            elif node.op_type == "ReorderInput":
                shape = self.shapes.get(node.input[0], shape)
            elif "nchwc" in node.domain and made is not None:
                shape = made
            elif node.op_type == "QuickGelu" and shape is not None:
                shape = self.shapes.get(node.input[0], shape)
            if shape is not None:
                self.shapes[value] = shape

    def _call(self, index: int, node: Any, arguments: Mapping[str, Any]) -> Call:  # noqa: ANN401
        kind = _SAME.get(node.op_type, node.op_type)
        attributes = self._attributes(node)
        for name in self.groups[index]:
            if self.source.nodes[name].op_type == "Conv":  # the file's groups are not padded
                attributes["group"] = self.source.attributes(name).get("group", 1)
        given = [name for name in node.input if name]
        computed = [name for name in given if name not in self.stored]
        residual = kind == "Conv" and len(node.input) > 3
        if kind == "SkipLayerNormalization":
            residual = len(computed) > 1
        inputs = [self.shapes[name] for name in computed if name in self.shapes]
        weight = self.stored.get(node.input[1]) if len(node.input) > 1 else None
        kernel = attributes.get("kernel_shape") or (weight or ())[2:]
        types = [next(iter(entry)) for entry in arguments.get("input_type_shape", ())] or ["float"]
        return Call(
            kind=kind,
            inputs=tuple(inputs[:1] if residual else inputs),
            output=self.shapes.get(node.output[0], ()),
            batch=self.source.batch,
            attributes=attributes | {"kernel": kernel} | self._axes(node, attributes),
            weight=weight,
            act=attributes.get("activation", b"").decode(),
            residual=residual,
            dtype=_DTYPES.get(types[0], types[0]),
        )

    def _axes(self, node: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        """Return the axes of a reduction that later opsets store as an input."""
        import onnx

        if "Reduce" not in node.op_type or "axes" in attributes or len(node.input) < 2:
            return {}
        stored = self.source.model.graph.initializer
        axes = [tensor for tensor in stored if tensor.name == node.input[1]]
        return {"axes": onnx.numpy_helper.to_array(axes[0]).tolist()} if axes else {}
