"""ONNX files opened for tracing: checked, with a name for every node and inferred shapes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.targets.base import require_file
from hwnat.targets.inputs import require_fixed_shapes
from hwnat.targets.limits import check_depth, check_operators, check_tensor
from hwnat.targets.onnx.shapes import inferred, is_outside, known_shapes, load_data, sizes_of
from hwnat.targets.trace import Graph, Node

_CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})
#: Domains whose operators a standard runtime contains.
_DOMAINS: Final = frozenset({"", "ai.onnx", "com.microsoft"})
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A checked ONNX model.

    Attributes:
        model: the protobuf model; every node has a unique name.
        graph: nodes of the model.
        nodes: name -> protobuf node.
        shapes: value -> shape, for constants and values that shape inference reaches.
        types: value -> number of its element type, for the same values.
        inputs: name -> (element type, shape) of each input without a stored value.
        batch: leading size of the first input.
        renamed: whether nodes were renamed, so that their names differ from those in the file.
    """

    model: Any
    graph: Graph
    nodes: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, int]
    inputs: dict[str, tuple[int, tuple[int, ...]]]
    batch: int
    renamed: bool

    def is_function(self, node: Any) -> bool:  # noqa: ANN401
        """Whether ONNX defines a node's operator as a function, which a runtime may expand."""
        import onnx

        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
            return False
        schema: Any = onnx.defs.get_schema(node.op_type)
        return bool(schema.has_function or schema.has_context_dependent_function)

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a node."""
        import onnx

        node = self.nodes[name]
        return {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }


def open_onnx(path: Path, *, weights: bool = True) -> OnnxModel:
    """Read a model with fixed shapes.

    Args:
        path: path of the file.
        weights: whether to read large tensors from data files beside it; if not, they must exist.

    Raises:
        DataError: the file is missing or damaged, lacks its external data, contains control flow,
            exceeds a limit, or has inputs with dynamic shapes or unknown operators.
    """
    model = _read(require_file(path, "ONNX"), weights=weights)
    _check_functions(model, path)
    _check_text(model, path)
    _check_stored(model, path)
    renamed = _name_all(model)
    _check_operators(model, path)
    stored = {tensor.name for tensor in model.graph.initializer}
    stored |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in stored}
    ranked = {name: value for name, value in inputs.items() if _is_ranked(value)}
    require_fixed_shapes({name: sizes_of(value) for name, value in ranked.items()}, path)
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
    results = [output.name for output in model.graph.output]
    _check_values(nodes, {*inputs, *stored}, results, path)
    first = next(iter(fixed.values()))[1]
    shapes, types = _shapes(model, path)
    return OnnxModel(
        model=model,
        graph=Graph(nodes, results=results, constants=sorted(stored)),
        nodes={node.name: node for node in model.graph.node},
        shapes=shapes,
        types=types,
        inputs=fixed,
        batch=first[0] if len(first) > 1 else 1,
        renamed=renamed,
    )


def _read(path: Path, *, weights: bool) -> Any:  # noqa: ANN401 - onnx has no types
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
        load_data(model, path.parent, large=weights)
    except DecodeError as error:
        msg = f"{path} is not an ONNX file or is cut short; export it again."
        raise DataError(msg) from error
    except Exception as error:  # the reader does not check offsets and lengths
        reason = str(error).strip().partition("\n")[0]
        msg = f"{path}: its external data cannot be read ({reason}); put the data file beside it."
        raise DataError(msg) from error
    if not model.graph.node:
        msg = f"{path} is not an ONNX file or holds no nodes; export it again."
        raise DataError(msg)
    return model


def _check_functions(model: Any, path: Path) -> None:  # noqa: ANN401
    """Refuse local functions that are recursive, contain control flow or expand over a limit.

    Readers replace each call with the operators of the function, however many these are.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    called = {key: [_called(node) for node in f.node] for key, f in functions.items()}
    calls = {key: [c for c in callees if c in functions] for key, callees in called.items()}
    try:
        order = tuple(TopologicalSorter(calls).static_order())
    except CycleError as error:
        name = error.args[1][0][1]
        msg = f"{path}: local function {name!r:.80} calls itself; export the network without it."
        raise DataError(msg) from error
    sizes: dict[tuple[str, str], int] = {}
    depths: dict[tuple[str, str], int] = {}
    for key in order:
        sizes[key] = sum(sizes.get(callee, 1) for callee in called[key])
        depths[key] = 1 + max((depths[callee] for callee in calls[key]), default=0)
    check_operators(sum(sizes.get(_called(node), 1) for node in model.graph.node), path)
    check_depth(max(depths.values(), default=0), path)
    for function in model.functions:
        if node := next(filter(_branches, function.node), None):
            msg = (
                f"{path} cannot be traced: {node.op_type} in local function {function.name!r:.80} "
                "(control flow: its work is not fixed). Export the network without it."
            )
            raise DataError(msg)


def _called(node: Any) -> tuple[str, str]:  # noqa: ANN401
    return node.domain, node.op_type


def _branches(node: Any) -> bool:  # noqa: ANN401
    """Whether a node contains subgraphs."""
    return node.op_type in _CONTROL_FLOW or any(
        attribute.HasField("g") or attribute.graphs for attribute in node.attribute
    )


def _check_text(model: Any, path: Path) -> None:  # noqa: ANN401
    """Refuse text that is not UTF-8; protobuf returns it as bytes."""
    waiting = [model]
    while waiting:
        message = waiting.pop()
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting.extend(value if field.is_repeated else [value])
            elif field.type == field.TYPE_STRING:
                values = value if field.is_repeated else [value]
                if not all(isinstance(text, str) for text in values):
                    msg = f"{path} has a field {field.name} that is not UTF-8; export it again."
                    raise DataError(msg)


def _check_stored(model: Any, path: Path) -> None:  # noqa: ANN401
    """Refuse stored tensors whose data does not fill their shape."""
    import onnx

    sparse = [tensor.dims for tensor in model.graph.sparse_initializer]
    for node in model.graph.node:
        sparse += [a.sparse_tensor.dims for a in node.attribute if a.HasField("sparse_tensor")]
    for dims in sparse:
        check_tensor("sparse", dims, path)
    for tensor in model.graph.initializer:
        try:
            whole = min(tensor.dims, default=0) >= 0
            if not is_outside(tensor):
                onnx.numpy_helper.to_array(tensor)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            msg = f"{path}: its tensor '{tensor.name:.80}' is damaged ({reason}); export it again."
            raise DataError(msg) from error
        if not whole:
            msg = f"{path}: its tensor '{tensor.name:.80}' has a negative size; export it again."
            raise DataError(msg)


def _name_all(model: Any) -> bool:  # noqa: ANN401
    """Give every node a unique name; return whether any node was renamed."""
    counts = Counter(node.name for node in model.graph.node)
    wrong = [n for n in model.graph.node if not n.name or counts[n.name] > 1]
    for index, node in enumerate(wrong):
        node.name = f"{node.name or node.op_type}#{index}"
    return bool(wrong)


def _check_operators(model: Any, path: Path) -> None:  # noqa: ANN401
    import onnx

    versions = {opset.domain: opset.version for opset in model.opset_import}
    local = {(function.domain, function.name) for function in model.functions}
    wrong = []
    for node in model.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if _branches(node):
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
        msg = (
            f"{path} cannot be traced: {'; '.join(wrong[:_SHOWN])}{more}. "
            "Export the network without them."
        )
        raise DataError(msg)


def _check_values(
    nodes: Sequence[Node], given: set[str], results: Sequence[str], path: Path
) -> None:
    """Refuse a file in which a node reads a value that no earlier node computes."""
    made = set(given)
    for node in nodes:
        if missing := [value for value in node.inputs if value not in made]:
            msg = (
                f"{path}: {node.kind} at '{node.name}' reads '{missing[0]}', which nothing makes "
                "before it; export the network again."
            )
            raise DataError(msg)
        made.update(node.outputs)
    if lost := [value for value in results if value not in made]:
        msg = f"{path}: nothing makes its output {lost[0]!r:.80}; export the network again."
        raise DataError(msg)


def _is_ranked(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a tensor of known rank."""
    return bool(value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"))


def _fixed(value: Any, path: Path) -> tuple[int, tuple[int, ...]]:  # noqa: ANN401
    """Return the element type and the shape of an input."""
    import onnx

    tensor = value.type.tensor_type
    if not _is_ranked(value):
        msg = f"{path}: input '{value.name}' is not a tensor of known rank; export it again."
        raise DataError(msg)
    sizes = sizes_of(value)
    shape = tuple(size for size in sizes if isinstance(size, int))
    if tensor.elem_type not in onnx.helper.get_all_tensor_dtypes():
        msg = f"{path}: input '{value.name}' has elements of an unknown type; export it again."
        raise DataError(msg)
    item_bytes = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    check_tensor(value.name, shape, path, item_bytes=item_bytes)
    return tensor.elem_type, shape


def _shapes(
    model: Any,  # noqa: ANN401
    path: Path,
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return the shapes and the element types of all values that inference reaches."""
    light = inferred(model, path)
    types = {tensor.name: int(tensor.data_type) for tensor in light.graph.initializer}
    shapes = known_shapes(light)
    for name in shapes.keys() - types.keys():
        check_tensor(name, shapes[name], path)
    for value in (*light.graph.input, *light.graph.value_info, *light.graph.output):
        types.setdefault(value.name, int(value.type.tensor_type.elem_type))
    return shapes, types
