"""The operators of a TFLite file, as the interpreter plans to run them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import staged
from hwnat.targets.inputs import named_shapes, require_fixed_shapes
from hwnat.targets.limits import reading
from hwnat.targets.tflite.session import file_sizes, open_interpreter, runtime_in_use

_CONTROL_FLOW: Final = frozenset({"IF", "WHILE", "CALL", "CALL_ONCE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOp:
    """One operator of a file.

    Attributes:
        names: names of the nodes it was written for, or the name of its output.
        inputs: tensor indices, without absent optional inputs.
        outputs: tensor indices.
        options: field -> value of its options table.
        delegated: whether XNNPACK runs it.
    """

    names: tuple[str, ...]
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    delegated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteFile:
    """A parsed file; tensors are given by index."""

    operators: tuple[PlanOp, ...]
    shapes: tuple[tuple[int, ...], ...]
    types: tuple[str, ...]
    values: Mapping[int, Any]
    results: tuple[int, ...]
    batch: int


def read_plan(path: Path, places: Mapping[int, tuple[str, ...]]) -> TfliteFile:
    """Load a file as for timing and read its operators.

    Args:
        path: path of the file.
        places: position of an operator -> its names; other operators are named after their output.

    Raises:
        DataError: the file is not a TFLite file, or has dynamic shapes or control flow.
        UsageError: LiteRT is not installed.
    """
    interpreter = open_interpreter(path, 1)
    model = read_model(path)
    with reading(path, "TFLite"):
        return _parsed(interpreter, model, path, places)


def read_model(path: Path) -> Any:  # noqa: ANN401 - generated code has no types
    """Return a file's content as the object API of the schema.

    Raises:
        DataError: the file is not a TFLite file.
        UsageError: LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        msg = "A TFLite file is traced with LiteRT; install it with: pip install 'hwnat[tflite]'"
        raise UsageError(msg) from error
    with reading(path, "TFLite"):
        content = path.read_bytes()
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        _take_in(model, content)
        return model


def _take_in(model: Any, content: bytes) -> None:  # noqa: ANN401
    """Give buffers and options that are stored behind the model, as in large files, their bytes.

    Raises:
        ValueError: they lie outside the file.
    """

    def part(offset: int, size: int) -> Any:  # noqa: ANN401
        if offset + size > len(content):
            msg = f"{size} bytes at {offset} lie beyond its end"
            raise ValueError(msg)
        return np.frombuffer(content, np.uint8, size, offset)

    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 mean that the data is in the model
            buffer.data = part(buffer.offset, buffer.size)
            buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        for op in graph.operators if graph.operators is not None else ():
            if op.largeCustomOptionsOffset > 1:
                op.customOptions = part(op.largeCustomOptionsOffset, op.largeCustomOptionsSize)
                op.largeCustomOptionsOffset = op.largeCustomOptionsSize = 0


def fixed_tflite(path: Path, shapes: Mapping[str, tuple[int, ...]], out: Path) -> None:
    """Write a copy with fixed input shapes; see `Reshaping.fixed`.

    The interpreter computes the shapes of all other tensors.
    """
    model = read_model(path)
    from ai_edge_litert.interpreter import OpResolverType

    from hwnat.targets.tflite.file import packed

    interpreter = runtime_in_use()[1](
        model_path=str(path),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    given = {str(tensor["name"]): tensor for tensor in interpreter.get_input_details()}
    named = named_shapes(shapes, {name: file_sizes(t) for name, t in given.items()}, path)
    with reading(path, "TFLite"):
        for name, shape in named.items():
            interpreter.resize_tensor_input(given[name]["index"], shape, strict=False)
        interpreter.allocate_tensors()
    for tensor in interpreter.get_tensor_details():
        if tensor["index"] >= len(model.subgraphs[0].tensors):
            continue
        stored = model.subgraphs[0].tensors[tensor["index"]]
        sizes = [int(size) for size in tensor["shape"]]
        if stored.shape is not None and all(size > 0 for size in sizes):
            stored.shape = stored.shapeSignature = sizes
    with staged(out) as draft:
        draft.write_bytes(packed(model))


def tensor_names(graph: Any) -> list[str]:  # noqa: ANN401
    """Return a unique name for each tensor: its own, or its own and its index."""
    names = [(tensor.name or b"tensor").decode(errors="replace") for tensor in graph.tensors]
    counts = Counter(names)
    return [
        name if counts[name] == 1 and graph.tensors[index].name else f"{name}#{index}"
        for index, name in enumerate(names)
    ]


def _parsed(
    interpreter: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    path: Path,
    places: Mapping[int, tuple[str, ...]],
) -> TfliteFile:
    """Join the interpreter's plan and the file's content."""
    details = interpreter._get_ops_details()
    graph = model.subgraphs[0]
    _require_fixed(interpreter.get_input_details(), details, path)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    first = graph.tensors[graph.inputs[0]].shape
    return TfliteFile(
        operators=tuple(_operators(graph, details, places)),
        shapes=tuple(tuple(map(int, tensor.shape)) for tensor in _all(graph.tensors)),
        types=tuple(
            np.dtype(tensors[i]["dtype"]).name if i in tensors else "float32"
            for i in range(len(graph.tensors))
        ),
        values={
            i: model.buffers[tensor.buffer].data
            for i, tensor in enumerate(graph.tensors)
            if model.buffers[tensor.buffer].data is not None
        },
        results=tuple(map(int, graph.outputs)),
        batch=int(first[0]) if len(first) > 1 else 1,
    )


def _require_fixed(
    inputs: Sequence[Mapping[str, Any]], details: Sequence[Mapping[str, Any]], path: Path
) -> None:
    for op in details:
        if op["op_name"] in _CONTROL_FLOW:
            msg = (
                f"{path} cannot be traced: {op['op_name']} (control flow: its work is not "
                "fixed). Export the network without it."
            )
            raise DataError(msg)
    require_fixed_shapes({str(tensor["name"]): file_sizes(tensor) for tensor in inputs}, path)


def _operators(
    graph: Any,  # noqa: ANN401 - generated code has no types
    details: Sequence[Mapping[str, Any]],
    places: Mapping[int, tuple[str, ...]],
) -> Iterator[PlanOp]:
    """Yield the file's operators; the plan starts with them in the same order."""
    taken, tensors = _delegated(details), tensor_names(graph)
    for index, op in enumerate(graph.operators):
        kind = str(details[index]["op_name"])
        yield PlanOp(
            names=places.get(index) or (tensors[op.outputs[0]],),
            kind=kind,
            inputs=tuple(int(i) for i in op.inputs if i >= 0),
            outputs=tuple(map(int, op.outputs)),
            options=_options(op),
            delegated=index in taken,
        )


def _options(op: Any) -> Mapping[str, Any]:  # noqa: ANN401 - generated code has no types
    """Return an operator's options; those of a custom operator are only bytes."""
    if op.builtinOptions:
        return dict(vars(op.builtinOptions))
    if op.customOptions is None:
        return {}
    return {"custom": bytes(op.customOptions).hex()}


def _all(tensors: Any) -> Any:  # noqa: ANN401 - generated code has no types
    """Yield all tensors, with an empty shape for a scalar that has none."""
    for tensor in tensors:
        if tensor.shape is None:
            tensor.shape = ()
        yield tensor


def _delegated(details: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the positions of the operators between the inputs and outputs of the delegates."""
    producer = {
        int(out): index
        for index, op in enumerate(details)
        if op["op_name"] != "DELEGATE"
        for out in op["outputs"]
    }
    taken: set[int] = set()
    for delegate in details:
        if delegate["op_name"] != "DELEGATE":
            continue
        given, wanted = set(map(int, delegate["inputs"])), list(map(int, delegate["outputs"]))
        while wanted:
            value = wanted.pop()
            index = producer.get(value)
            if value not in given and index is not None and index not in taken:
                taken.add(index)
                wanted += map(int, details[index]["inputs"])
    return taken
