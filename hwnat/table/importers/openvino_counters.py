"""OpenVINO's `benchmark_detailed_counters_report.json`: the milliseconds of each node."""

from collections.abc import Mapping
from typing import Any, Final

from hwnat.errors import DataError
from hwnat.records.parse import strict_json
from hwnat.table.importers.base import Facts, Importer, Source
from hwnat.table.importers.node_profile import Kinds, Node, NodeProfileImporter, Profile
from hwnat.table.importers.values import number

_KINDS: Final[Kinds] = {
    "Convolution": ("conv", "dwconv"),
    "Deconvolution": ("deconv",),
    "FullyConnected": ("linear", "matmul", "mix"),
    "MatMul": ("linear", "matmul", "mix"),
    "Pooling": ("pool", "gpool"),
    "Reduce": ("gpool",),
    "Concatenation": ("concat",),
    "Softmax": ("softmax",),
}
_FIELDS: Final = ("name", "node_type", "status", "real_time", "exec_type")
#: Status -> the reason why a node has no time.
_REASONS: Final = {
    "EXECUTED": "",
    "NOT_RUN": "did not run: fused into another node, or an input or output",
    "OPTIMIZED_OUT": "did not run: optimised away",
}
#: Times are printed in thousandths of a millisecond.
_ROUNDING_MS: Final = 0.0005


def counters_profile(source: Source) -> Profile:
    """Read the nodes of a report of one infer request.

    Raises:
        DataError: the report is incomplete, has several streams, or its nodes do not add up to its
            total.
    """
    report = strict_json(source.text, where=source.name)
    streams = report.get("detailed_performance") if isinstance(report, Mapping) else None
    if not isinstance(streams, list):
        msg = f"{source.name}: no list 'detailed_performance'; is it of format openvino-counters?"
        raise DataError(msg)
    if len(streams) != 1 or not isinstance(streams[0], Mapping):
        msg = (
            f"{source.name}: {len(streams)} infer requests, expected 1. Run benchmark_app with "
            "-api sync -nstreams 1 -report_type detailed_counters."
        )
        raise DataError(msg)
    nodes = streams[0].get("nodes")
    if not isinstance(nodes, list) or not nodes:
        msg = f"{source.name}: the report has no nodes; it is truncated. Get the whole file."
        raise DataError(msg)
    read = tuple(
        _node(node, where=f"{source.name}: node {index}") for index, node in enumerate(nodes)
    )
    where = f"{source.name}: total_real_time"
    total_ms = number(streams[0].get("total_real_time"), where=where)
    times = [number(node.time, where=f"{node.where}: {node.name}") for node in read]
    sum_ms = sum(times)
    # A negative time is refused or reported when the node becomes an entry.
    if min(times) >= 0 and abs(sum_ms - total_ms) > _ROUNDING_MS * (len(read) + 1):
        msg = f"{where} is {total_ms:g}, but the nodes take {sum_ms:g} ms. Get the whole file."
        raise DataError(msg)
    return Profile(nodes=read)


def _node(node: Any, *, where: str) -> Node:  # noqa: ANN401 - any JSON value
    if not isinstance(node, Mapping) or not all(isinstance(node.get(key), str) for key in _FIELDS):
        msg = f"{where}: {node!r:.60} has not the texts {', '.join(_FIELDS)}. Get the whole file."
        raise DataError(msg)
    if not all(node[key].isprintable() for key in _FIELDS):
        msg = f"{where}: {node['name'][:60]!r} has control characters. Get the whole file."
        raise DataError(msg)
    status = node["status"].rpartition(".")[2]
    if status not in _REASONS:
        msg = f"{where}: unknown status {status!r:.40}; expected one of {', '.join(_REASONS)}."
        raise DataError(msg)
    if _REASONS[status] and number(node["real_time"], where=f"{where}: real_time") != 0:
        msg = f"{where}: status {status}, but real_time is {node['real_time']:.40}."
        raise DataError(msg)
    return Node(
        kind=node["node_type"],
        name=node["name"],
        time=node["real_time"],
        where=where,
        reason=_REASONS[status],
    )


IMPORTER: Final[Importer] = NodeProfileImporter(
    name="openvino-counters",
    unit="ms",
    profile=counters_profile,
    kinds=_KINDS,
    facts=Facts(target="openvino", runtime="openvino"),
)
