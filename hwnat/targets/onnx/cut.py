"""Pieces of an ONNX file as files of their own."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnat.errors import UsageError
from hwnat.records.artifact import staged
from hwnat.targets.base import Piece
from hwnat.targets.limits import reading
from hwnat.targets.onnx.graph import OnnxModel, open_onnx
from hwnat.targets.onnx.session import open_session, session_options
from hwnat.targets.onnx.shapes import inferred, load_data, save_beside_data, save_onnx


def cut_onnx(path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool) -> Piece:
    """Write some nodes of a file as a file of their own; see `Cutting.cut`."""
    import onnx

    source = open_onnx(path, weights=False)
    chosen = source.graph.closed(nodes, path, ancestors=ancestors)
    kept = [node for node in source.model.graph.node if node.name in chosen]
    made = {value for node in kept for value in node.output if value}
    read = dict.fromkeys(value for node in kept for value in node.input if value)
    sizes = {node.output[0]: _size(node, source) for node in source.model.graph.node}
    fixed = {value: sizes[value] for value in read if sizes.get(value) is not None}
    kept = [node for node in kept if node.output[0] not in sizes or sizes[node.output[0]] is None]
    stored = [t for t in source.model.graph.initializer if t.name in read]
    sparse = [t for t in source.model.graph.sparse_initializer if t.values.name in read]
    known = {t.name for t in stored} | {t.values.name for t in sparse} | fixed.keys()
    given = read.keys() - made - known
    outside = [value for value in source.inputs if value in given]
    outside += source.graph.in_order(given - source.inputs.keys())
    readers = source.graph.readers
    others = {
        value
        for value in made
        if value in source.graph.results
        or any(reader.name not in chosen for reader in readers.get(value, ()))
    }
    returned = [value for value in source.graph.in_order(others) if _computed(value, source)]
    if not (kept and outside and returned):
        msg = f"{path}: {', '.join(nodes):.80} compute nothing from an input; name other nodes."
        raise UsageError(msg)
    types = _types(source, [*outside, *returned], path)
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    model.graph.Clear()
    model.graph.name = source.model.graph.name or "piece"
    model.graph.node.extend(kept)
    model.graph.initializer.extend(stored)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in fixed.items()
    )
    model.graph.sparse_initializer.extend(sparse)
    model.graph.input.extend(types[value] for value in outside)
    model.graph.output.extend(types[value] for value in returned)
    with reading(path, "ONNX"):
        load_data(model, path.parent)
    with staged(out) as draft:
        save_onnx(model, draft)
    return Piece(inputs=tuple(outside), outputs=tuple(returned))


def _computed(value: str, source: OnnxModel) -> bool:
    """Whether a value depends on an input, or the model returns it."""
    return value not in source.graph.constants or value in source.graph.results


def _size(node: Any, source: OnnxModel) -> tuple[int, ...] | int | None:  # noqa: ANN401
    """Return the value of a node that returns a shape, which is fixed; None for other nodes."""
    shape = source.shapes.get(node.input[0]) if node.input else None
    if shape is None or node.op_type not in ("Shape", "Size"):
        return None
    if node.op_type == "Size":
        return int(np.prod(shape))
    bounds = source.attributes(node.name)
    return tuple(shape[bounds.get("start", 0) : bounds.get("end")])


def _types(source: OnnxModel, values: Sequence[str], path: Path) -> dict[str, Any]:
    """Return the declared type of each value; run the model where inference does not reach.

    Raises:
        DataError: ONNX Runtime cannot run the model.
    """
    import onnx

    model = source.model
    graph = inferred(model, path).graph
    known = {
        value.name: value
        for value in (*graph.value_info, *graph.output, *graph.input)
        if value.type.tensor_type.elem_type
        and value.type.tensor_type.HasField("shape")
        and all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim)
    }
    missing = [value for value in values if value not in known]
    if missing:
        probe = onnx.ModelProto()
        probe.CopyFrom(model)
        del probe.graph.output[:]
        probe.graph.output.extend(onnx.ValueInfoProto(name=value) for value in missing)
        feed = {
            name: np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(kind))
            for name, (kind, shape) in source.inputs.items()
        }
        with tempfile.TemporaryDirectory(prefix="hwnat-cut-") as folder:
            file = Path(folder, "probe.onnx")
            save_beside_data(probe, path.parent, file)
            results = open_session(file, session_options(1)).run(missing, feed)
        for name, result in zip(missing, results, strict=True):
            if not isinstance(result, np.ndarray):
                msg = f"Value {name:.80} is not a tensor, so no piece can begin or end there."
                raise UsageError(msg)
            kind = onnx.helper.np_dtype_to_tensor_dtype(result.dtype)
            known[name] = onnx.helper.make_tensor_value_info(name, kind, result.shape)
    return known
