"""The kernels that ONNX Runtime executes, from its optimised graph and its profile.

The optimiser fuses convolutions with activations and sums, folds batch norms and changes layouts. A
node of the domain com.microsoft.nchwc works on blocks of channels and pads the last block. So
shapes are taken from the file if it contains the node, and from the profile otherwise.
"""

import json
import re
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnat.errors import DataError
from hwnat.targets.kernel import ACTIVATIONS, QUANTISED, VIEWS, Call, to_op
from hwnat.targets.limits import reading
from hwnat.targets.onnx.graph import OnnxModel, open_onnx
from hwnat.targets.onnx.session import open_session, session_options
from hwnat.targets.onnx.shapes import save_beside_data
from hwnat.targets.profiled import Runs, profiled_ns
from hwnat.targets.trace import Node, Removed, Trace, TracedOp

#: ONNX Runtime's operator -> ONNX operator, where the names differ.
_SAME: Final = {"FusedConv": "Conv"} | QUANTISED
#: Data type in the profile -> data type in a key, where the names differ.
_DTYPES: Final = {"float": "float32", "double": "float64"}
#: Position of the weights among the inputs, where it is not 1.
_WEIGHT_AT: Final = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
_SUFFIX: Final = "_nchwc"
#: Suffix of a node that the runtime moved to another layout.
_TOKEN: Final = re.compile(r"_token_\d+$")
_CONVS: Final = frozenset({"Conv", "FusedConv"})
#: Suffix that the optimiser appends to a node's name -> operators that it fused into the node.
_JOINED: Final = {"MatMulAddFusion": {"Add"}, "MatMulScaleFusion": {"Mul", "Div"}}
#: Changes of layout; they copy another node's output and keep its name.
_INSERTED: Final = frozenset({"ReorderInput", "ReorderOutput"})
#: Operators that the runtime may insert behind another node, and that then keep its output's name.
_OFTEN_INSERTED: Final = frozenset({"Transpose", "Cast", "QuantizeLinear", "DequantizeLinear"})
#: Name of a node without one in the profile: its operator and its number.
_NUMBERED: Final = re.compile(r"\w+_\d+")
#: The profile cuts durations to whole microseconds; this is what it loses on average.
_CUT_NS: Final = 500
#: Constants of integers up to this size, such as axes and pads, determine the work.
_SMALL: Final = 16


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
            runs = Runs()
            while runs.again():
                session.run(None, feed)
        finally:
            profile = session.end_profiling()
        events = json.loads(Path(profile).read_text())
        # Its tensors may refer to the data files of the model, and their shapes are enough.
        optimised = onnx.load(folder / "optimised.onnx", load_external_data=False)
    suffix = "_kernel_time"
    return optimised, [
        event | {"name": event["name"].removesuffix(suffix)}
        for event in sorted(events, key=lambda event: float(event.get("ts", 0)))
        if event.get("cat") == "Node" and event["name"].endswith(suffix)
    ]


def _of_nodes(
    nodes: Sequence[Any], events: Sequence[Mapping[str, Any]]
) -> list[list[Mapping[str, Any]]]:
    """Return the events of each node, by its name, or by its operator if it has no name of its own.

    Nodes with the same name, or without one, are told apart by the order in which they run.
    """
    kernels: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        number = str(event["args"].get("node_index", ""))
        kernels.setdefault((event["name"], number), []).append(event)
    names = {node.name for node in nodes}
    waiting: dict[str, deque[list[Mapping[str, Any]]]] = {}
    for (name, _), of_kernel in kernels.items():
        numbered = name not in names and _NUMBERED.fullmatch(name)
        place = f" {of_kernel[0]['args'].get('op_name')}" if numbered else name
        waiting.setdefault(place, deque()).append(of_kernel)
    joined = []
    for node in nodes:
        queue = waiting.get(node.name or f" {node.op_type}")
        joined.append(queue.popleft() if queue else [])
    return joined


def _type_name(number: int) -> str:
    """Return the name of an element type as in a key."""
    import onnx

    name: str = onnx.TensorProto.DataType.Name(number).lower()
    return _DTYPES.get(name, name)


class _Reading:
    """Joins the file, the optimised graph and the profile."""

    def __init__(
        self,
        source: OnnxModel,
        optimised: Any,  # noqa: ANN401
        events: Sequence[Mapping[str, Any]],
    ) -> None:
        self.source, self.nodes = source, list(optimised.graph.node)
        self.events = _of_nodes(self.nodes, events)
        self.tensors = {tensor.name: tensor for tensor in optimised.graph.initializer}
        self.stored = {name: tuple(tensor.dims) for name, tensor in self.tensors.items()}
        #: Values whose channels are in blocks, with the last block padded.
        self.blocked: set[str] = set()
        #: Values that the runtime keeps with their channels last, unlike the file.
        self.channels_last: set[str] = set()
        self.shapes: dict[str, tuple[int, ...]] = {
            name: shape for name, (_, shape) in source.inputs.items()
        }
        anchors = {index: self._anchors(node) for index, node in enumerate(self.nodes)}
        self.expanded = self._expanded(anchors)
        self.groups = source.graph.group(anchors)

    def trace(self, runtime: str) -> Trace:
        """Describe every node of the optimised graph."""
        ops, views = [], []
        for index, node in enumerate(self.nodes):
            events = self.events[index]
            arguments = events[0]["args"] if events else {}
            self._note_shapes(index, node, arguments)
            members = [at for at, last in self.expanded.items() if last == index]
            if index in self.expanded and not members:
                continue  # a part of a function, which is described where it ends
            if node.op_type in VIEWS and not members:
                why = "another view of the same data"
                views += [
                    Removed(node=name, kind=self.source.nodes[name].op_type, why=why)
                    for name in self.groups[index]
                ]
                continue
            if all(name in self.stored for name in node.input if name) and not events:
                continue  # a constant that the optimiser left as a node
            parts = [*members, index] if members else [index]
            call = self._call(index, node, arguments)
            op, reason = to_op(self._function_call(parts, call) if members else call)
            times = [self._time_ns(at) for at in parts]
            kinds = [self.nodes[at] for at in parts]
            ops.append(
                TracedOp(
                    op=op,
                    reason=reason,
                    nodes=self.groups[index],
                    kernel=" + ".join(f"{n.domain or 'ai.onnx'}.{n.op_type}" for n in kinds),
                    profile_ns=None if None in times else sum(filter(None, times)),
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

    def _time_ns(self, index: int) -> float | None:
        """Return the mean time of a node, without the runs of the warm-up."""
        durations = [1000.0 * event["dur"] + _CUT_NS for event in self.events[index]]
        return profiled_ns(durations[Runs.WARMUP :]) if durations else None

    def _expanded(self, anchors: dict[int, list[str]]) -> dict[int, int]:
        """Map the nodes that a function of the file was expanded to, to the last of them.

        The last one is anchored to the file's node.

        ONNX Runtime has no kernels for some operators that ONNX defines as functions. It replaces
        them with the nodes of the function, which have no names. The last one computes the
        operator's output.
        """
        readers: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            for value in node.input:
                readers.setdefault(value, []).append(index)
        ends: dict[int, int] = {}
        for index, node in reversed(list(enumerate(self.nodes))):
            if node.name:
                continue
            producer = self.source.graph.producer.get(node.output[0])
            if producer is not None:
                main = self.source.nodes[producer.name]
                if main.op_type != node.op_type and self.source.is_function(main):
                    ends[index], anchors[index] = index, [main.name]
                continue
            following = {
                ends.get(reader) for value in node.output for reader in readers.get(value, [])
            }
            if len(following) == 1 and (end := following.pop()) is not None:
                ends[index] = end
        return {index: end for index, end in sorted(ends.items()) if index != end}

    def _function_call(self, parts: Sequence[int], last: Call) -> Call:
        """Describe a function by the file's node, and the nodes that it was expanded to."""
        node = self.source.nodes[self.groups[parts[-1]][-1]]
        shapes = self.source.shapes
        computed = [v for v in node.input if v and v not in self.source.graph.constants]
        calls = [self._call(at, self.nodes[at], self._arguments(at)) for at in parts[:-1]]
        first = next((call for call in calls if call.inputs), last)
        return Call(
            kind=node.op_type,
            inputs=tuple(shapes[v] for v in computed if v in shapes) or first.inputs,
            output=shapes.get(node.output[0], last.output),
            batch=self.source.batch,
            attributes=self.source.attributes(node.name),
            dtype=first.dtype,
            out_dtype=last.out_dtype,
            label="-".join(call.label for call in (*calls, last)),
            detail=tuple(text for call in (*calls, last) for text in call.detail),
        )

    def _arguments(self, index: int) -> Mapping[str, Any]:
        return self.events[index][0]["args"] if self.events[index] else {}

    def _anchors(self, node: Any) -> list[str]:  # noqa: ANN401
        """Return the file's nodes that a node of the optimised graph was certainly made from.

        Its name is that of a node or a value in the file, perhaps with a suffix for the fusion. An
        activation or a sum that was fused later appears only in its attributes and inputs.
        """
        graph = self.source.graph
        name = _TOKEN.sub("", node.name)
        stem, _, done = name.rstrip("/").rpartition("/")
        main = graph.by_name.get(name) or graph.by_name.get(stem)
        inserted = node.op_type in VIEWS or node.op_type in _INSERTED
        made = [] if inserted else [graph.producer[v] for v in node.output if v in graph.producer]
        if node.op_type in _OFTEN_INSERTED:
            made = [member for member in made if member.kind == node.op_type]
        main = main or graph.producer.get(name.removesuffix(_SUFFIX))
        main = main or next(iter(made), None)
        if main is None:
            return []
        if node.op_type in QUANTISED:  # the file's operator and the quantisation of its result
            return [member.name for member in dict.fromkeys((main, *made, *self._rounded(main)))]
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

    def _rounded(self, main: Node) -> list[Node]:
        """Return the activation and the quantisation that follow a node which was quantised."""
        nodes: list[Node] = []
        graph = self.source.graph
        while main.kind not in QUANTISED and main.kind != "QuantizeLinear":
            kinds = {"QuantizeLinear", *([] if nodes else ACTIVATIONS)}
            following = graph.followers(main)
            if len(following) != 1 or following[0].kind not in kinds:
                break
            (main,) = following
            nodes.append(main)
        return nodes

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
            elif made is not None and self._is_blocked(node):
                self.blocked.add(value)
                shape = made
            elif node.op_type == "ReorderInput" or (
                node.op_type == "QuickGelu" and shape is not None
            ):
                shape = self.shapes.get(node.input[0], shape)
            if shape is not None:
                self.shapes[value] = shape
            if value not in self.source.shapes and self._makes_rows(node):
                self.channels_last.add(value)

    def _makes_rows(self, node: Any) -> bool:  # noqa: ANN401
        """Whether a node that the runtime made or moved writes channels last."""
        attributes = self._attributes(node)
        if node.op_type == "Transpose":
            return attributes.get("perm") == [0, 2, 3, 1]
        return self._reads_rows(node, attributes)

    def _reads_rows(self, node: Any, attributes: Mapping[str, Any]) -> bool:  # noqa: ANN401
        if attributes.get("channels_last") or node.op_type == "NhwcMaxPool":
            return True
        return any(value in self.channels_last for value in node.input)

    def _is_blocked(self, node: Any) -> bool:  # noqa: ANN401
        """Whether a node writes channels in blocks; sums and products of blocked tensors do too."""
        if node.op_type == "ReorderOutput":
            return False
        return "nchwc" in node.domain or any(value in self.blocked for value in node.input)

    def _call(self, index: int, node: Any, arguments: Mapping[str, Any]) -> Call:  # noqa: ANN401
        kind = _SAME.get(node.op_type, node.op_type)
        attributes = self._attributes(node)
        for name in self.groups[index]:
            if self.source.nodes[name].op_type == "Conv":  # the file's groups are not padded
                attributes["group"] = self.source.attributes(name).get("group", 1)
        given = [name for name in node.input if name]
        computed = [name for name in given if name not in self.stored]
        residual = node.op_type in _CONVS and len(node.input) > 3
        if kind == "SkipLayerNormalization":
            residual = len(computed) > 1
        inputs = [self.shapes[name] for name in computed if name in self.shapes]
        at = _WEIGHT_AT.get(node.op_type, 1)
        weight = self.tensors.get(node.input[at]) if len(node.input) > at else None
        shape = None if weight is None else self.stored[weight.name]
        kernel = attributes.get("kernel_shape") or (shape or ())[2:]
        read, made = (
            [_DTYPES.get(name, name) for entry in arguments.get(side, ()) for name in entry]
            for side in ("input_type_shape", "output_type_shape")
        )
        types = dict(zip(given, read, strict=False))
        act = attributes.get("activation", b"").decode()
        return Call(
            kind=kind,
            inputs=tuple(inputs[:1] if residual else inputs),
            output=self.shapes.get(node.output[0], ()),
            batch=self.source.batch,
            nhwc=node.op_type != "Transpose" and self._reads_rows(node, attributes),
            attributes=attributes
            | {"kernel": kernel, "heads": attributes.get("num_heads", 0)}
            | self._axes(node, attributes),
            weight=shape,
            act=act,
            residual=residual,
            dtype=next((types[name] for name in computed if name in types), "float32"),
            weights="" if weight is None else _type_name(weight.data_type),
            out_dtype=made[0] if made else "",
            label="-".join(filter(None, (node.op_type, act))),
            detail=self._detail(node, read, made),
        )

    def _detail(self, node: Any, read: list[str], made: list[str]) -> tuple[str, ...]:  # noqa: ANN401
        """Return the operands and results of a node: types, shapes and small integers."""
        import onnx

        lines = [f"{node.domain}.{node.op_type}", f"types {read} {made}"]
        for value in (*node.input, *node.output):
            tensor, line = (
                self.tensors.get(value),
                str(self.shapes.get(value, self.stored.get(value))),
            )
            if tensor is not None:
                line += f" stored {_type_name(tensor.data_type)}"
                integers = tensor.data_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
                beside = tensor.data_location == onnx.TensorProto.EXTERNAL
                if integers and not beside and prod(tensor.dims) <= _SMALL:
                    line += f" {onnx.numpy_helper.to_array(tensor).tolist()}"
            lines.append(line)
        return tuple(lines)

    def _axes(self, node: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        """Return the axes of a reduction, which are an attribute or an input, or all axes."""
        import onnx

        kind = _SAME.get(node.op_type, node.op_type)
        if kind in ("ArgMax", "ArgMin"):
            return {"axes": [attributes.get("axis", 0)]}
        if not kind.startswith("Reduce") or "axes" in attributes:
            return {}
        if len(node.input) < 2 or not node.input[1]:
            return {"axes": range(len(self.shapes.get(node.input[0], ())))}
        tensor = self.tensors.get(node.input[1])
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return {}
        return {"axes": onnx.numpy_helper.to_array(tensor).tolist()}
