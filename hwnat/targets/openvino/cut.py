"""Pieces of an OpenVINO IR file as files of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnat.errors import UsageError
from hwnat.records.artifact import staged
from hwnat.targets.base import Piece
from hwnat.targets.limits import reading
from hwnat.targets.openvino.graph import graph_of, require_fixed
from hwnat.targets.openvino.session import core
from hwnat.targets.runtimes import load_openvino


def cut_openvino(path: Path, nodes: Sequence[str], out: Path, *, ancestors: bool) -> Piece:
    """Write some nodes of a file as a file of their own; see `Cutting.cut`."""
    ov = load_openvino()
    with reading(path, "OpenVINO"):
        model = core().read_model(path)
        require_fixed(model, path)
    graph = graph_of(model)
    chosen = graph.closed(nodes, path, ancestors=ancestors)
    ordered = model.get_ordered_ops()
    kept = [node for node in ordered if node.get_friendly_name() in chosen]
    given = {value.get_node().get_friendly_name(): value for value in _parameters(model)}
    outside: dict[str, Any] = {}
    for node in kept:
        for port in node.inputs():
            source = port.get_source_output()
            name = source.get_node().get_friendly_name()
            if name not in chosen and name not in graph.constants:
                outside.setdefault(_value(source), source)
            elif _is_size(source.get_node()) and name in graph.constants:
                _store_size(port, source)
    returned = {
        _value(output): output
        for node in kept
        for output in node.outputs()
        if _leaves(output, chosen, constant=node.get_friendly_name() in graph.constants)
    }
    if not (outside and returned):
        msg = f"{path}: {', '.join(nodes):.80} compute nothing from an input; name other nodes."
        raise UsageError(msg)
    names = [name for name in given if name in outside]
    names += [name for name in outside if name not in given]
    parameters = [_parameter(name, outside[name], chosen) for name in names]
    results = [ov.opset13.result(output) for output in returned.values()]
    piece = ov.Model(results, parameters, "piece")
    with staged(out) as draft:
        ov.save_model(piece, draft, compress_to_fp16=False)
    return Piece(inputs=tuple(names), outputs=tuple(returned))


def _parameters(model: Any) -> Any:  # noqa: ANN401 - OpenVINO has no types here
    return (parameter.output(0) for parameter in model.get_parameters())


def _value(output: Any) -> str:  # noqa: ANN401
    """Return the name of a value: that of its node, and its number if the node has several."""
    node = output.get_node()
    name = str(node.get_friendly_name())
    return name if len(node.outputs()) == 1 else f"{name}:{output.get_index()}"


def _is_size(node: Any) -> bool:  # noqa: ANN401
    return str(node.get_type_name()) == "ShapeOf"


def _store_size(port: Any, source: Any) -> None:  # noqa: ANN401
    """Replace a shape, which is fixed, by a constant."""
    ov = load_openvino()
    shape = list(source.get_node().input(0).get_source_output().get_shape())
    constant = ov.opset13.constant(shape, source.get_element_type())
    port.replace_source_output(constant.output(0))


def _leaves(output: Any, chosen: set[str], *, constant: bool) -> bool:  # noqa: ANN401
    """Whether the model returns a value, or a node outside the piece reads it."""
    readers = [port.get_node() for port in output.get_target_inputs()]
    if any(reader.get_type_name() == "Result" for reader in readers):
        return True
    return not constant and any(reader.get_friendly_name() not in chosen for reader in readers)


def _parameter(name: str, source: Any, chosen: set[str]) -> Any:  # noqa: ANN401
    """Return an input in place of a value, which the nodes of the piece read instead."""
    ov = load_openvino()
    parameter = ov.opset13.parameter(source.get_shape(), source.get_element_type(), name)
    for port in source.get_target_inputs():
        if port.get_node().get_friendly_name() in chosen:
            port.replace_source_output(parameter.output(0))
    return parameter
