"""Read the two kinds of files that `benchmark_model` writes as protocol buffers.

The decoder of the wire format is short, so protobuf is not needed. A message does not state its own
length: a file that is cut at the end of a field looks whole. So every field that the tool writes is
required.

Source: tflite/tools/benchmark/proto/benchmark_result.proto and
tflite/profiling/proto/profiling_info.proto of LiteRT; protobuf.dev, "Encoding".
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from hwnat.errors import DataError
from hwnat.table.importers.base import Source
from hwnat.table.importers.node_profile import Node, Profile

Value = int | float | bytes

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_WIDTHS: Final = {_DOUBLE: ("<d", 8), _FLOAT: ("<f", 4)}
#: Real messages have a few thousand fields.
_MOST_FIELDS: Final = 200_000
#: Field numbers. In a profile, 1 is the name of the model and 3 has the regular runs. In a
#: result, 2 is the latency and 4 has the counts of runs.
_PROFILE, _RUNS, _LATENCY, _COUNTS = {1, 2, 3}, 3, 2, 4
_STATS: Final = {"first": 1, "last": 2, "avg": 3, "min": 6, "max": 7, "sum": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """The fields of a message: number -> values, in order."""

    name: str
    fields: Mapping[int, Sequence[Value]]

    def refuse(self, why: str) -> NoReturn:
        msg = f"{self.name}: {why}. Get the whole file of benchmark_model."
        raise DataError(msg)

    def one(self, number: int, what: str) -> Value:
        """Return the value of a field that must occur exactly once."""
        values = self.fields.get(number, ())
        if len(values) != 1:
            self.refuse(f"field '{what}' is there {len(values)} times, expected once")
        return values[0]

    def message(self, number: int, what: str) -> "_Message":
        value = self.one(number, what)
        if not isinstance(value, bytes):
            self.refuse(f"field '{what}' is a number, expected a message")
        return _decode(value, name=self.name)

    def messages(self, number: int, what: str) -> "list[_Message]":
        values = self.fields.get(number, ())
        if not all(isinstance(value, bytes) for value in values):
            self.refuse(f"field '{what}' is a number, expected messages")
        return [_decode(value, name=self.name) for value in values if isinstance(value, bytes)]

    def integer(self, number: int, what: str, *, least: int = 0) -> int:
        value = self.one(number, what)
        if not isinstance(value, int) or not least <= value < 2**62:
            self.refuse(f"field '{what}' is {value!r:.40}, not an integer of at least {least}")
        return value

    def text(self, number: int, what: str) -> str:
        value = self.one(number, what)
        try:
            text = value.decode() if isinstance(value, bytes) else ""
        except UnicodeDecodeError:
            text = ""
        if not text.isprintable() or not text:
            self.refuse(f"field '{what}' is {value!r:.40}, not a line of text")
        return text

    def milliseconds(self, number: int, what: str) -> float:
        value = self.one(number, what)
        if not isinstance(value, float) or not math.isfinite(value) or value < 0:
            self.refuse(f"field '{what}' is {value!r:.40}, not a time")
        return value


def pb_profile(source: Source) -> Profile:
    """Read a profile of operators, or the result of a benchmark.

    Raises:
        DataError: the file is neither of them, is incomplete, or contradicts itself.
    """
    message = _decode(source.content, name=source.name)
    if _COUNTS in message.fields and _LATENCY in message.fields:
        return _result(message)
    if _RUNS not in message.fields or set(message.fields) - _PROFILE:
        msg = (
            f"{source.name}: neither a profile nor a result of benchmark_model; is it of format "
            "benchmark-model-pb?"
        )
        raise DataError(msg)
    runs = message.message(_RUNS, "runtime_profile")
    tables = runs.messages(1, "subgraph_profiles")
    if not tables:
        runs.refuse("the profile has no operators")
    nodes, counts = _nodes(tables[0], rows=3, reason="")
    for table in tables[1:]:
        nodes += _nodes(table, rows=3, reason="part of a subgraph's row")[0]
    for table in runs.messages(2, "delegate_profiles"):
        nodes += _nodes(table, rows=2, reason="part of a delegate's row")[0]
    return Profile(nodes=tuple(nodes), runs=min(counts))


def _result(message: _Message) -> Profile:
    """Return mean and standard deviation of the whole network in us."""
    latency, counts = message.message(_LATENCY, "latency_metrics"), message.message(4, "misc")
    mean, least, most = (
        latency.milliseconds(number, what) for number, what in ((1, "avg"), (2, "min"), (3, "max"))
    )
    # Earlier releases have no standard deviation.
    std = latency.milliseconds(4, "std") if 4 in latency.fields else 0.0
    if not least <= mean * 1.00001 <= most * 1.00002:
        latency.refuse(f"the average, {mean:g} ms, is not between {least:g} and {most:g} ms")
    runs = counts.integer(2, "num_runs", least=1)
    # A float32 holds seven digits.
    total = tuple(f"{float(f'{value:.7g}') * 1e3:.4f}" for value in (mean, std))
    return Profile(nodes=(), runs=runs, total=(total[0], total[1]))


def _nodes(table: _Message, *, rows: int, reason: str) -> tuple[list[Node], list[int]]:
    """Return one graph's nodes and how often each was timed; field `rows` has its rows."""
    nodes, counts = [], []
    for index, row in enumerate(table.messages(rows, "per_op_profiles")):
        if row.integer(6, "run_order") != index:
            row.refuse(f"row {index} of an operator table is not in the order of the run")
        count, time = _microseconds(row.message(2, "inference_microseconds"))
        counts.append(count)
        nodes.append(
            Node(
                kind=row.text(1, "node_type"),
                name=row.text(5, "name"),
                time=time,
                where=f"{table.name}: row {index}",
                reason=reason,
            )
        )
    if not nodes:
        table.refuse("an operator table has no rows")
    return nodes, counts


def _microseconds(stat: _Message) -> tuple[int, str]:
    """Return count and sum / count, which is finer than the average in whole microseconds."""
    us = {what: stat.integer(number, what) for what, number in _STATS.items()}
    count = stat.integer(9, "count", least=1)
    if us["sum"] // count != us["avg"]:
        stat.refuse(f"an operator's average is {us['avg']} us, its sum {us['sum']} of {count}")
    if not all(us["min"] <= us[what] <= us["max"] for what in ("first", "last", "avg")):
        stat.refuse("an operator's first, last or average time is not between min and max")
    return count, f"{us['sum'] / count:.6f}"


def _decode(raw: bytes, *, name: str) -> _Message:
    """Return a message's fields.

    Raises:
        DataError: it ends inside a field, or is not a message.
    """
    fields: dict[int, list[Value]] = {}
    empty = _Message(name=name, fields={})
    at = count = 0
    while at < len(raw):
        tag, at = _varint(raw, at, empty)
        number, wire = tag >> 3, tag & 7
        value: Value
        size = 0
        if wire == _VARINT:
            value, at = _varint(raw, at, empty)
        elif wire in _WIDTHS:
            form, size = _WIDTHS[wire]
            value = struct.unpack_from(form, raw, at)[0] if at + size <= len(raw) else 0.0
        elif wire == _BYTES:
            size, at = _varint(raw, at, empty)
            value = raw[at : at + size]
        else:
            empty.refuse(f"byte {at} starts a field of unknown type {wire}; it is no such message")
        at += size
        count += 1
        if at > len(raw):
            empty.refuse(f"the last {at - len(raw)} bytes of a field are missing")
        if number == 0 or count > _MOST_FIELDS:
            empty.refuse(f"byte {at} ends a field without a number, or field {count:,}")
        fields.setdefault(number, []).append(value)
    return _Message(name=name, fields=fields)


def _varint(raw: bytes, at: int, message: _Message) -> tuple[int, int]:
    """Return the integer that starts at `at`, and where it ends."""
    value = shift = 0
    while at < len(raw) and shift < 64:
        value |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if raw[at - 1] < 0x80:
            return value, at
    return message.refuse(f"the integer before byte {at} has no end")
