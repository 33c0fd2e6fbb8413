"""Pieces of a TFLite file as files of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hwnat.errors import UsageError
from hwnat.records.artifact import staged
from hwnat.targets.base import Piece
from hwnat.targets.limits import reading
from hwnat.targets.tflite.file import packed
from hwnat.targets.tflite.plan import read_model, tensor_names
from hwnat.targets.trace import Graph, Node


def cut_tflite(path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool) -> Piece:
    """Write some operators of a file as a file of their own; see `Cutting.cut`."""
    from ai_edge_litert import schema_py_generated as schema

    model = read_model(path)
    with reading(path, "TFLite"):
        whole = model.subgraphs[0]
        names = tensor_names(whole)
        graph = _graph(model, names, schema)
    chosen = graph.closed(nodes, path, ancestors=ancestors)
    kept = [
        op for op, node in zip(whole.operators, graph.nodes, strict=True) if node.name in chosen
    ]
    made = {int(i) for op in kept for i in op.outputs}
    read = {int(i) for op in kept for i in op.inputs if i >= 0}
    stored = {i for i in read if _stored(model, whole.tensors[i]) or whole.tensors[i].isVariable}
    given = read - made - stored
    order = [int(i) for i in whole.inputs if i in given]
    place = {int(i): n for n, op in enumerate(whole.operators) for i in op.outputs}
    outside = [*order, *sorted(given - set(order), key=lambda i: (place.get(i, -1), i))]
    others = {
        int(i)
        for op, node in zip(whole.operators, graph.nodes, strict=True)
        if node.name not in chosen
        for i in op.inputs
    }
    results = {int(i) for i in whole.outputs}
    constant = {i for i in made if names[i] in graph.constants}
    returned = sorted((made & (others | results)) - (constant - results))
    if not (outside and returned):
        msg = f"{path}: {', '.join(nodes):.80} compute nothing from an input; name other nodes."
        raise UsageError(msg)
    piece = _piece(model, kept, outside, returned, schema)
    with staged(out) as draft:
        draft.write_bytes(packed(piece))
    return Piece(inputs=tuple(names[i] for i in outside), outputs=tuple(names[i] for i in returned))


def _stored(model: Any, tensor: Any) -> bool:  # noqa: ANN401 - generated code has no types
    return model.buffers[tensor.buffer].data is not None


def _graph(model: Any, names: Sequence[str], schema: Any) -> Graph:  # noqa: ANN401
    """Return the operators in terms of named values; an operator has the name of its output."""
    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    codes = [
        kinds.get(max(c.builtinCode, c.deprecatedBuiltinCode), "") for c in model.operatorCodes
    ]
    whole = model.subgraphs[0]
    return Graph(
        [
            Node(
                name=names[op.outputs[0]],
                kind=codes[op.opcodeIndex],
                inputs=tuple(names[i] for i in op.inputs if i >= 0),
                outputs=tuple(names[i] for i in op.outputs),
            )
            for op in whole.operators
        ],
        results=[names[i] for i in whole.outputs],
        constants=[n for n, t in zip(names, whole.tensors, strict=True) if _stored(model, t)],
    )


def _piece(
    model: Any,  # noqa: ANN401
    kept: Sequence[Any],
    outside: Sequence[int],
    returned: Sequence[int],
    schema: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Return a model of operators, with tensors, buffers and operator codes numbered afresh."""
    whole = model.subgraphs[0]
    used = sorted({int(i) for op in kept for i in _operands(op) if i >= 0})
    tensors = {index: number for number, index in enumerate(used)}
    codes = {index: n for n, index in enumerate(sorted({op.opcodeIndex for op in kept}))}
    buffers: dict[int, int] = {0: 0}  # buffer 0 stands for "no constant"
    for index in used:
        tensor = whole.tensors[index]
        tensor.buffer = buffers.setdefault(tensor.buffer, len(buffers))
    for op in kept:
        op.opcodeIndex = codes[op.opcodeIndex]
        for field in ("inputs", "outputs", "intermediates"):
            indices = getattr(op, field)
            if indices is not None:
                setattr(op, field, [tensors.get(int(i), -1) for i in indices])
    part = schema.SubGraphT()
    part.name, part.operators = whole.name, list(kept)
    part.tensors = [whole.tensors[index] for index in used]
    part.inputs = [tensors[index] for index in outside]
    part.outputs = [tensors[index] for index in returned]
    piece = schema.ModelT()
    piece.version, piece.description = model.version, model.description
    piece.operatorCodes = [model.operatorCodes[index] for index in codes]
    piece.subgraphs = [part]
    piece.buffers = [model.buffers[index] for index in buffers]
    return piece


def _operands(op: Any) -> Iterator[int]:  # noqa: ANN401
    for field in (op.inputs, op.outputs, op.intermediates):
        yield from field if field is not None else ()
