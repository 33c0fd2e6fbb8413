"""The two files that `benchmark_model` writes as protocol buffers, read without protobuf.

A decoder of the wire format is thirty lines and needs no package, so a host in a lab reads these
files too. A message has no length of its own: a file that was cut at the end of a field looks
like a whole one, so every field that the tool writes is required.

Source: tflite/tools/benchmark/proto/benchmark_result.proto and
tflite/profiling/proto/profiling_info.proto of LiteRT; protobuf.dev, "Encoding".
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from hwnat.device.runners.logs.output import Output
from hwnat.device.runners.logs.record import OpTable, OpTime, RuntimeLog, Timing

Value = int | float | bytes
#: Of each field number all values, in order.
Message = Mapping[int, Sequence[Value]]

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_LATENCY: Final = {"avg": 1, "min": 2, "max": 3, "std": 4, "median": 5, "p95": 7,
                   "init": 8, "first": 9, "warmup": 10}  # fmt: skip


def decode(out: Output, raw: bytes) -> Message:
    """Return a message's fields.

    Raises:
        DataError: it ends inside of a field, or is no message.
    """
    fields: dict[int, list[Value]] = {}
    at = 0
    while at < len(raw):
        tag, at = _varint(out, raw, at)
        number, wire = tag >> 3, tag & 7
        value: Value
        if wire == _VARINT:
            value, at = _varint(out, raw, at)
        elif wire in (_DOUBLE, _FLOAT):
            size = 8 if wire == _DOUBLE else 4
            if at + size > len(raw):
                out.cut("the end of a number")
            value = struct.unpack_from("<d" if wire == _DOUBLE else "<f", raw, at)[0]
            at += size
        elif wire == _BYTES:
            size, at = _varint(out, raw, at)
            if at + size > len(raw):
                out.cut(f"the last {at + size - len(raw)} bytes of a field")
            value, at = raw[at : at + size], at + size
        else:
            out.wrong(f"byte {at} starts a field of the unknown type {wire}")
        if number == 0:
            out.wrong(f"byte {at} starts a field without a number")
        fields.setdefault(number, []).append(value)
    return fields


def _varint(out: Output, raw: bytes, at: int) -> tuple[int, int]:
    """Return the integer that starts at `at`, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(raw):
            out.cut("the end of an integer")
        if shift > 63:
            out.wrong(f"the integer before byte {at} does not end")
        value |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if raw[at - 1] < 0x80:
            return value, at


def read(out: Output, raw: bytes) -> RuntimeLog:
    """Read a file of either kind.

    Raises:
        DataError: it is of neither kind, incomplete, or contradicts itself.
    """
    top = decode(out, raw)
    if set(top) - {1, 2, 3, 4} or not top:
        out.wrong("it is neither a result nor a profile of benchmark_model")
    if 4 in top or (2 in top and 1 not in top and 3 not in top and raw[:1] == b"\x12"):
        return _result(out, top)
    if 3 not in top:
        out.cut("its profile of the regular runs")
    return _profile(out, top)


def _one(out: Output, message: Message, number: int, what: str) -> Value:
    values = message.get(number, ())
    if not values:
        out.cut(f"its field '{what}'")
    if len(values) > 1:
        out.wrong(f"its field '{what}' is there {len(values)} times")
    return values[0]


def _bytes(out: Output, message: Message, number: int, what: str) -> bytes:
    value = _one(out, message, number, what)
    if not isinstance(value, bytes):
        out.wrong(f"its field '{what}' is a number")
    return value


def _int(out: Output, message: Message, number: int, what: str, *, least: int = 1) -> int:
    value = _one(out, message, number, what)
    if not isinstance(value, int) or not least <= value < 2**62:
        out.wrong(f"its field '{what}' is {value!r:.40}, not an integer of at least {least}")
    return value


def _text(out: Output, message: Message, number: int, what: str) -> str:
    try:
        text = _bytes(out, message, number, what).decode()
    except UnicodeDecodeError as damage:
        out.wrong(f"its field '{what}' is no text ({damage.reason})")
    if not text.isprintable():
        out.wrong(f"its field '{what}' is {text!r:.40}")
    return text


def _result(out: Output, top: Message) -> RuntimeLog:
    latency = decode(out, _bytes(out, top, 2, "latency_metrics"))
    misc = decode(out, _bytes(out, top, 4, "misc_metrics"))
    memory = decode(out, _bytes(out, top, 3, "memory_metrics")) if 3 in top else None
    ms: dict[str, str] = {}
    for name, number in _LATENCY.items():
        if name == "std" and number not in latency:
            continue  # Earlier releases leave it out.
        value = _one(out, latency, number, name)
        if not isinstance(value, float) or not math.isfinite(value) or value < 0:
            out.wrong(f"its field '{name}' is {value!r:.40}")
        # Seven digits are what a float32 holds.
        ms[name] = format(float(f"{value:.7g}"), "f") if value < 1e9 else "1e99"

    def ns(name: str) -> int:
        return out.ns(ms[name], "ms", name)

    warmed = _int(out, misc, 3, "num_warmup_runs", least=0)
    initial, overall, peak = _memory(out, memory) if memory else (None, None, None)
    return RuntimeLog(
        tool="benchmark_model",
        generation="result-pb",
        inference=Timing(
            count=_int(out, misc, 2, "num_runs"),
            min_ns=ns("min"),
            avg_ns=ns("avg"),
            median_ns=ns("median"),
            p95_ns=ns("p95"),
            max_ns=ns("max"),
            std_ns=(out.ns_or_none(ms["std"], "ms", "std") or 0) if "std" in ms else None,
        ),
        warmup=Timing(count=warmed, avg_ns=ns("warmup")) if warmed else None,
        init_ns=ns("init"),
        first_ns=ns("first") if warmed else None,
        init_memory_bytes=initial,
        overall_memory_bytes=overall,
        peak_memory_bytes=peak,
    )


def _memory(out: Output, memory: Message) -> tuple[int, int, int | None]:
    """Return bytes: grown in preparation, in all, and the peak if it was watched."""
    initial = _int(out, memory, 1, "init_footprint_kb", least=0) * 1024
    overall = _int(out, memory, 2, "overall_footprint_kb", least=0) * 1024
    if 3 not in memory:
        return initial, overall, None
    peak = _one(out, memory, 3, "peak_mem_mb")
    if not isinstance(peak, float) or not 0 < peak < 2**30:
        out.wrong(f"its peak memory is {peak!r:.40} MB")
    return initial, overall, round(peak * 1024**2)


def _profile(out: Output, top: Message) -> RuntimeLog:
    ops: list[OpTime] = []
    if 1 in top:
        _text(out, top, 1, "model_name")
    for number, stage in ((2, "init"), (3, "run")):
        if number not in top:
            continue
        model = decode(out, _bytes(out, top, number, f"{stage} profile"))
        if set(model) - {1, 2} or not model:
            out.wrong(f"its {stage} profile has unknown parts")
        for index, raw in enumerate(model.get(1, ())):
            table: OpTable = "init" if stage == "init" else "run" if index == 0 else "subgraph"
            ops += _rows(out, raw, table, (1, 3))
        for raw in model.get(2, ()):
            ops += _rows(out, raw, "init" if stage == "init" else "delegate", (1, 2))
    left_out = ("first, last and spread of each operator",)
    return RuntimeLog(
        tool="benchmark_model", generation="profile-pb", ops=tuple(ops), left_out=left_out
    )


def _rows(out: Output, raw: Value, table: OpTable, numbers: tuple[int, int]) -> list[OpTime]:
    """Read one subgraph's or delegate's operators; `numbers` are of its name and its rows."""
    if not isinstance(raw, bytes):
        out.wrong("a table of operators is a number")
    graph = decode(out, raw)
    if set(graph) - ({1, 2, 3} if numbers[1] == 3 else {1, 2}):
        out.wrong("a table of operators has unknown parts")
    name = _text(out, graph, numbers[0], "name") if numbers[0] in graph else None
    rows = []
    for index, item in enumerate(graph.get(numbers[1], ())):
        if not isinstance(item, bytes):
            out.wrong("a row of its operator table is a number")
        op = decode(out, item)
        if _int(out, op, 6, "run_order", least=0) != index:
            out.wrong(f"row {index} of an operator table is not in run order")
        rows.append(
            OpTime(
                table=table,
                table_name=name,
                node_type=_text(out, op, 1, "node_type"),
                name=_text(out, op, 5, "name"),
                avg_ns=_average_ns(out, decode(out, _bytes(out, op, 2, "inference_microseconds"))),
                times_called=_int(out, op, 4, "times_called"),
            )
        )
    if not rows:
        out.cut("the rows of an operator table")
    return rows


def _average_ns(out: Output, stat: Message) -> int | None:
    """Return sum over count, finer than the average, which is in whole microseconds."""
    names = {"first": 1, "last": 2, "avg": 3, "min": 6, "max": 7, "sum": 8}
    us = {name: _int(out, stat, number, name, least=0) for name, number in names.items()}
    count = _int(out, stat, 9, "count")
    if us["sum"] // count != us["avg"]:
        out.wrong(f"an operator's average is {us['avg']} us, its sum {us['sum']} over {count}")
    for name in ("first", "last", "avg"):
        if not us["min"] <= us[name] <= us["max"]:
            out.wrong(f"an operator's {name} is outside of its min to max")
    return out.ns_or_none(f"{us['sum'] / count:.6f}", "us", "an operator's average")
