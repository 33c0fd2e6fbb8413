"""Shapes, inputs and data files of ONNX models."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import staged
from hwnat.targets.inputs import index_bounds, named_shapes, require_fixed_shapes
from hwnat.targets.limits import reading
from hwnat.targets.trace import Node

#: Tensors up to this many elements keep their values, which shapes may depend on.
_KEPT_ELEMENTS: Final = 4096
#: Operators that exporters compute shapes with.
_SHAPE_ARITHMETIC: Final = frozenset(
    {"Abs", "Add", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal"}
    | {"Expand", "Floor", "Gather", "Identity", "Max", "Min", "Mod", "Mul", "Neg", "Range"}
    | {"ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "Slice", "Split"}
    | {"Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where"}
)
#: Part of ONNX's message about an operator that reads a value of unknown type.
_UNTYPED: Final = "expected to have type but instead is null"
#: Weights up to this size are stored in the file itself, which may not exceed 2 GiB.
_INLINE_BYTES: Final = 1 << 30
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


def is_outside(tensor: Any) -> bool:  # noqa: ANN401
    """Whether the data of a tensor is in a data file and has not been read."""
    import onnx

    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def load_data(model: Any, folder: Path, *, large: bool = True) -> None:  # noqa: ANN401
    """Read tensors from the data files of a model.

    Args:
        model: a model whose structure was read; it is changed.
        folder: folder of the file.
        large: whether to read large tensors too; if not, their data must exist.

    Raises:
        OSError, ValueError: a data file is missing, too short or outside the folder.
    """
    import onnx
    from onnx import external_data_helper as helper

    for tensor in helper._get_all_tensors(model):
        if not is_outside(tensor):
            continue
        if large or prod(tensor.dims) <= _KEPT_ELEMENTS:
            helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
            continue
        stored = helper.ExternalDataInfo(tensor)
        place = PurePath(stored.location)
        if place.is_absolute() or ".." in place.parts:
            msg = f"tensor '{tensor.name:.80}' is stored outside the model's folder"
            raise ValueError(msg)
        end = (stored.offset or 0) + (stored.length or 0)
        if end > (folder / place).stat().st_size:
            msg = f"tensor '{tensor.name:.80}' ends beyond its data file {place.name:.80}"
            raise ValueError(msg)


def save_onnx(model: Any, path: Path) -> None:  # noqa: ANN401
    """Write a model; weights of over 1 GiB go to a data file beside it."""
    import onnx

    stored = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    onnx.save(
        model,
        path,
        save_as_external_data=stored > _INLINE_BYTES,
        location=f"{path.name}.data" if stored > _INLINE_BYTES else None,
    )


def save_beside_data(model: Any, folder: Path, path: Path) -> None:  # noqa: ANN401
    """Write a model, and copies of the data files of `folder` that it refers to beside it."""
    import onnx
    from onnx import external_data_helper as helper

    places = {
        PurePath(helper.ExternalDataInfo(tensor).location)
        for tensor in helper._get_all_tensors(model)
        if is_outside(tensor)
    }
    for place in sorted(places):
        if place.is_absolute() or ".." in place.parts:
            msg = f"{path}: its weights are stored outside its folder; export it again."
            raise DataError(msg)
        (path.parent / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / place, path.parent / place)
    onnx.save(model, path)


def fixed_onnx(path: Path, shapes: Mapping[str, tuple[int, ...]], out: Path) -> None:
    """Write a copy with fixed input shapes; see `Reshaping.fixed`.

    A size with a name takes the same value in every input.
    """
    model = read_structure(path)
    with reading(path, "ONNX"):
        load_data(model, path.parent, large=False)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in stored}
    sizes = {name: sizes_of(value) for name, value in inputs.items()}
    _set_sizes(inputs, named_shapes(shapes, sizes, path), path)
    require_fixed_shapes({name: sizes_of(value) for name, value in inputs.items()}, path)
    loose = [value for value in model.graph.value_info if not _states_all(value)]
    for value in loose:
        model.graph.value_info.remove(value)
    for value in model.graph.output:
        if not _states_all(value):
            value.type.tensor_type.ClearField("shape")
    light = inferred(model, path)
    for value, known_value in zip(model.graph.output, light.graph.output, strict=True):
        value.CopyFrom(known_value)
    with staged(out) as draft:
        save_beside_data(model, path.parent, draft)


def _set_sizes(
    inputs: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Set the sizes of inputs, and equally named sizes of the other inputs."""
    known: dict[str, int] = {}
    for name, shape in shapes.items():
        for dim, size in zip(inputs[name].type.tensor_type.shape.dim, shape, strict=True):
            symbol = dim.dim_param if _is_name(dim.dim_param) else ""
            if symbol and known.setdefault(symbol, size) != size:
                msg = (
                    f"{path}: size {symbol:.80} of its inputs cannot be both {known[symbol]} and "
                    f"{size}; correct --shape."
                )
                raise UsageError(msg)
            dim.dim_value = size
    for value in inputs.values():
        for dim in value.type.tensor_type.shape.dim:
            if _is_name(dim.dim_param) and dim.dim_param in known:
                dim.dim_value = known[dim.dim_param]


def _is_name(symbol: str) -> bool:
    """Whether a symbol names one size; some exporters write ? for every unknown size."""
    return any(letter.isalnum() for letter in symbol)


def _states_all(value: Any) -> bool:  # noqa: ANN401
    """Whether a tensor's type states every size; other types have none."""
    if not value.type.HasField("tensor_type"):
        return True
    dims = value.type.tensor_type.shape.dim
    return value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims)


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
    light = without_weights(model)
    known = _inferred_once(light, path)
    while _fold_shapes(light, known, path):
        known = _inferred_once(light, path)
    return known


def _inferred_once(light: Any, path: Path) -> Any:  # noqa: ANN401
    import onnx

    with reading(path, "ONNX"):
        try:
            return onnx.shape_inference.infer_shapes(light, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            if _UNTYPED in str(error):  # behind an operator whose result ONNX cannot infer
                return onnx.shape_inference.infer_shapes(light, data_prop=True)
            reason = str(error).strip().partition("\n")[0]
            msg = f"{path}: its shapes do not fit together ({reason}); export it again."
            raise DataError(msg) from error


def _fold_shapes(light: Any, known: Any, path: Path) -> bool:  # noqa: ANN401
    """Store the results of shape arithmetic, which ONNX's own inference follows only in part.

    Args:
        light: a model without weights; nodes are replaced by their results.
        known: the same model with its inferred shapes.
        path: path of the file, for messages.

    Returns:
        Whether a node was replaced.

    Raises:
        DataError: ONNX Runtime cannot compute a shape.
    """
    import onnx

    shapes = known_shapes(known)
    stored = {tensor.name: tensor for tensor in light.graph.initializer if not is_outside(tensor)}
    results: list[Any] = []
    arithmetic: list[Any] = []
    kept: list[Any] = []
    computed: set[str] = set()
    for node in light.graph.node:
        if node.op_type == "Shape" and node.input[0] in shapes:
            bounds = {attribute.name: int(attribute.i) for attribute in node.attribute}
            sizes = shapes[node.input[0]][bounds.get("start", 0) : bounds.get("end")]
            results.append(onnx.numpy_helper.from_array(np.array(sizes, np.int64), node.output[0]))
            computed.add(node.output[0])
        elif node.op_type in _SHAPE_ARITHMETIC and all(
            name in stored or name in computed for name in node.input if name
        ):
            arithmetic.append(node)
            computed.update(node.output)
        else:
            kept.append(node)
    if not computed or not any(name in computed for node in kept for name in node.input):
        return False
    if arithmetic:
        with reading(path, "ONNX Runtime"):
            results += _computed(light, arithmetic, results)
    del light.graph.node[:]
    light.graph.node.extend(kept)
    light.graph.initializer.extend(results)
    return True


def _computed(light: Any, nodes: Sequence[Any], known: Sequence[Any]) -> list[Any]:  # noqa: ANN401
    """Return the results of nodes that depend on stored values only, as tensors."""
    import onnx

    from hwnat.targets.runtimes import load_onnxruntime

    wanted = [name for node in nodes for name in node.output if name]
    part = onnx.ModelProto(ir_version=light.ir_version)
    part.opset_import.extend(light.opset_import)
    part.graph.name = "shapes"
    part.graph.node.extend(nodes)
    needed = {name for node in nodes for name in node.input}
    part.graph.initializer.extend(
        tensor for tensor in (*light.graph.initializer, *known) if tensor.name in needed
    )
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        part.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [
        onnx.numpy_helper.from_array(np.asarray(result), name)
        for name, result in zip(wanted, session.run(wanted, {}), strict=True)
    ]


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
