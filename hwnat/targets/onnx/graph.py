"""An ONNX file opened for tracing: checked, every node named, every shape known."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.targets.base import require_file
from hwnat.targets.trace import Graph, Node

_CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})
#: Domains whose operators a stock runtime brings along.
_DOMAINS: Final = frozenset({"", "ai.onnx", "com.microsoft"})
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """A checked ONNX model.

    Attributes:
        model: the protobuf; every node has a name of its own.
        graph: its nodes.
        nodes: name -> protobuf node.
        shapes: value -> shape, of all values that shape inference reaches and all constants.
        inputs: name -> (element type, shape) of what has to be fed.
        batch: leading size of the first input.
        renamed: nodes had to be named, so the file itself does not tell these names.
    """

    model: Any
    graph: Graph
    nodes: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    inputs: dict[str, tuple[int, tuple[int, ...]]]
    batch: int
    renamed: bool

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a node."""
        import onnx

        node = self.nodes[name]
        return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def open_onnx(path: Path) -> OnnxGraph:
    """Read a model of fixed shapes.

    Raises:
        DataError: it is missing, no ONNX file, lacks its external data, branches or loops, or
            holds inputs without a fixed shape or operators that nobody knows.
    """
    model = _read(require_file(path, "ONNX"))
    renamed = _name_all(model)
    _check_operators(model, path)
    stored = {each.name for each in model.graph.initializer}
    stored |= {each.values.name for each in model.graph.sparse_initializer}
    inputs = {each.name: each for each in model.graph.input if each.name not in stored}
    fixed = {name: _fixed(value, path) for name, value in inputs.items()}
    if not fixed:
        msg = f"{path} takes no input, so there is nothing to run; export the network again."
        raise DataError(msg)
    nodes = [
        Node(
            name=node.name,
            kind=node.op_type,
            inputs=tuple(filter(None, node.input)),
            outputs=tuple(filter(None, node.output)),
        )
        for node in model.graph.node
    ]
    results = [each.name for each in model.graph.output]
    _check_values(nodes, {*inputs, *stored}, path)
    first = next(iter(fixed.values()))[1]
    return OnnxGraph(
        model=model,
        graph=Graph(nodes, results=results, constants=sorted(stored)),
        nodes={node.name: node for node in model.graph.node},
        shapes=_shapes(model, path),
        inputs=fixed,
        batch=first[0] if len(first) > 1 else 1,
        renamed=renamed,
    )


def _read(path: Path) -> Any:  # noqa: ANN401 - onnx has no types
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except DecodeError as error:
        msg = f"{path} is not an ONNX file or is cut short; export it again."
        raise DataError(msg) from error
    except (FileNotFoundError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        msg = f"{path}: its external data cannot be read ({reason}); put the data file beside it."
        raise DataError(msg) from error
    if not model.graph.node:
        msg = f"{path} is not an ONNX file or holds no nodes; export it again."
        raise DataError(msg)
    return model


def _name_all(model: Any) -> bool:  # noqa: ANN401
    """Give every node a name of its own; return whether one had none."""
    counts = Counter(node.name for node in model.graph.node)
    wrong = [n for n in model.graph.node if not n.name or counts[n.name] > 1]
    for index, node in enumerate(wrong):
        node.name = f"{node.name or node.op_type}#{index}"
    return bool(wrong)


def _check_operators(model: Any, path: Path) -> None:  # noqa: ANN401
    import onnx

    versions = {each.domain: each.version for each in model.opset_import}
    local = {(each.domain, each.name) for each in model.functions}
    wrong = []
    for node in model.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if node.op_type in _CONTROL_FLOW:
            wrong.append(f"{node.op_type} at '{node.name}' (control flow: its work is not fixed)")
        elif domain not in _DOMAINS and (domain, node.op_type) not in local:
            wrong.append(f"{node.op_type} at '{node.name}' (custom domain '{domain}')")
        elif domain == "" and not onnx.defs.has(
            node.op_type, max_inclusive_version=versions.get("", 1), domain=""
        ):
            version = versions.get("", 1)
            wrong.append(f"{node.op_type} at '{node.name}' (unknown in opset {version})")
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        msg = f"{path} cannot be traced: {'; '.join(wrong[:_SHOWN])}{more}. "
        raise DataError(msg + "Export the network without them.")


def _check_values(nodes: list[Node], given: set[str], path: Path) -> None:
    """Refuse a file in which a node reads what does not exist when it runs."""
    made = set(given)
    for node in nodes:
        if missing := [value for value in node.inputs if value not in made]:
            msg = f"{path}: {node.kind} at '{node.name}' reads '{missing[0]}', which nothing makes "
            raise DataError(msg + "before it; export the network again.")
        made.update(node.outputs)


def _fixed(value: Any, path: Path) -> tuple[int, tuple[int, ...]]:  # noqa: ANN401
    """Return element type and shape of an input."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        msg = f"{path}: input '{value.name}' is no tensor of known rank; export it again."
        raise DataError(msg)
    sizes = [(d.dim_value if d.HasField("dim_value") else 0, d.dim_param) for d in tensor.shape.dim]
    if any(size < 1 for size, _ in sizes):
        text = "x".join(str(size) if size > 0 else name or "?" for size, name in sizes)
        msg = f"{path}: input '{value.name}' has the dynamic shape {text}; latency needs a fixed "
        raise DataError(msg + "one: export it without dynamic axes.")
    return tensor.elem_type, tuple(size for size, _ in sizes)


def _shapes(model: Any, path: Path) -> dict[str, tuple[int, ...]]:  # noqa: ANN401
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        reason = str(error).strip().partition("\n")[0]
        msg = f"{path}: its shapes do not fit together ({reason}); export it again."
        raise DataError(msg) from error
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    for each in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        dims = each.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[each.name] = tuple(dim.dim_value for dim in dims)
    return shapes
