"""Shapes and inputs of ONNX models, without their weights."""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.targets.inputs import index_bounds
from hwnat.targets.limits import reading
from hwnat.targets.trace import Node

#: Tensors up to this many elements keep their values, which shapes may depend on.
_KEPT_ELEMENTS: Final = 4096
#: Operator -> input of indices, and the input or attribute that has the indexed axis.
_INDEXING: Final = {
    "Gather": 1,
    "GatherElements": 1,
    "GatherND": 1,
    "ScatterElements": 1,
    "ScatterND": 1,
    "OneHot": 0,
}
#: Operator of ONNX Runtime -> input of indices -> table that they index.
_EMBEDDINGS: Final = {"EmbedLayerNormalization": {0: 2, 1: 4, 7: 3}}


def read_structure(path: Path) -> Any:  # noqa: ANN401 - onnx has no types
    """Read a model and leave the weights in its data files.

    Raises:
        DataError: the file is damaged.
    """
    import onnx

    with reading(path, "ONNX"):
        return onnx.load(path, load_external_data=False)


def without_weights(model: Any) -> Any:  # noqa: ANN401
    """Return a copy whose large tensors have no data; no data file is named or read."""
    import onnx

    light = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _copy(light, field, value)
    for field, value in model.graph.ListFields():
        if field.name != "initializer":
            _copy(light.graph, field, value)
    for tensor in model.graph.initializer:
        external = tensor.data_location == onnx.TensorProto.EXTERNAL
        if prod(tensor.dims) <= _KEPT_ELEMENTS and not external:
            light.graph.initializer.add().CopyFrom(tensor)
            continue
        light.graph.initializer.add(
            name=tensor.name,
            dims=tensor.dims,
            data_type=tensor.data_type,
            data_location=onnx.TensorProto.EXTERNAL,
        )
    return light


def _copy(message: Any, field: Any, value: Any) -> None:  # noqa: ANN401
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.type == field.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def inferred(model: Any, path: Path) -> Any:  # noqa: ANN401
    """Return a copy without weights that states every shape and type that can be inferred.

    Raises:
        DataError: the shapes do not fit together.
    """
    import onnx

    light = without_weights(model)
    with reading(path, "ONNX"):
        try:
            return onnx.shape_inference.infer_shapes(light, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            reason = str(error).strip().partition("\n")[0]
            msg = f"{path}: its shapes do not fit together ({reason}); export it again."
            raise DataError(msg) from error


def sizes_of(value: Any) -> list[int | str]:  # noqa: ANN401
    """Return the sizes of a tensor: numbers, names of dynamic ones, and 0 for those without."""
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or 0
        for dim in value.type.tensor_type.shape.dim
    ]


def known_shapes(model: Any) -> dict[str, tuple[int, ...]]:  # noqa: ANN401
    """Return the shapes of stored tensors and of every value that states a fixed one."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            continue
        if all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return shapes


def bounds_of_inputs(path: Path) -> dict[str, int]:
    """Return exclusive upper bounds of the values that index something in a model.

    Raises:
        DataError: the file is damaged.
    """
    model = read_structure(path)
    nodes = [
        Node(
            name=str(index),
            kind=node.op_type,
            inputs=tuple(filter(None, node.input)),
            outputs=tuple(filter(None, node.output)),
        )
        for index, node in enumerate(model.graph.node)
    ]
    shapes = known_shapes(model)
    if any(node.op_type in _INDEXING and node.input[0] not in shapes for node in model.graph.node):
        shapes |= known_shapes(inferred(model, path))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    sizes = {
        str(index): dict(_indexed(node, shapes, stored))
        for index, node in enumerate(model.graph.node)
    }
    return index_bounds(nodes, sizes)


def _indexed(
    node: Any,  # noqa: ANN401
    shapes: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, Any],
) -> Iterable[tuple[str, int]]:
    """Yield each input of indices and the size of the axis that they index."""
    import onnx

    for at, table in _EMBEDDINGS.get(node.op_type, {}).items():
        if len(node.input) > max(at, table) and (shape := shapes.get(node.input[table])):
            yield node.input[at], shape[0]
    at = _INDEXING.get(node.op_type, -1)
    if not 0 <= at < len(node.input):
        return
    if node.op_type == "OneHot":
        depth = stored.get(node.input[1])
        if depth is not None and depth.data_location != onnx.TensorProto.EXTERNAL:
            yield node.input[at], int(onnx.numpy_helper.to_array(depth).reshape(-1)[0])
        return
    shape = shapes.get(node.input[0])
    if not shape:
        return
    if node.op_type.endswith("ND"):
        yield node.input[at], min(shape)
        return
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    if -len(shape) <= axis < len(shape):
        yield node.input[at], shape[axis]
