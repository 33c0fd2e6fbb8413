"""The CSV profile of Qualcomm's QNN, as ONNX Runtime's provider and `qnn-profile-viewer` write it.

Under the x86 emulator of the HTP both cycles and microseconds depend on the host's load.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from hwnat.device.runners.logs.output import Output, csv_rows, need_columns
from hwnat.device.runners.logs.record import OpTime, RuntimeLog, Timing

TOOL: Final = "qnn-profile"

_COLUMNS: Final = ("Message", "Time", "Unit of Measurement", "Event Level", "Event Identifier")
_UNITS: Final = ("US", "COUNT", "CYCLES")
_EXECUTE: Final = "QNN (execute) time"
_CYCLES: Final = "Accelerator (execute) time (cycles)"
_SUFFIX: Final = " (cycles)"


def read(out: Output) -> RuntimeLog:
    """Read a profile of one graph; every execution ends with `QNN (execute) time`.

    Raises:
        DataError: it ends elsewhere, or its executions differ in their nodes.
    """
    lines = out.lines
    need_columns(out, lines[0].split(","), _COLUMNS)
    rows = csv_rows(out, lines)
    finalize: list[int] = []
    executions: list[list[Mapping[str, str]]] = [[]]
    for row in rows:
        if row["Unit of Measurement"] not in _UNITS:
            out.wrong(f"the unit {row['Unit of Measurement']!r:.40} is unknown")
        out.count(row["Time"], row["Event Identifier"], least=0)
        if row["Message"] == "FINALIZE" and row["Event Level"] == "ROOT":
            finalize.append(_us(out, row))
        executions[-1].append(row)
        if row["Event Identifier"] == _EXECUTE:
            executions.append([])
    if executions.pop() or not executions:
        out.cut(f"the line '{_EXECUTE}' at its end")
    times = [_us(out, execution[-1]) for execution in executions]
    left_out = ["events inside of finalising and executing"]
    if len(finalize) > 1:
        out.wrong(f"{len(finalize)} graphs were finalised; profile one at a time")
    return RuntimeLog(
        tool=TOOL,
        generation="csv",
        inference=Timing(
            count=len(times),
            min_ns=min(times),
            avg_ns=round(sum(times) / len(times)),
            median_ns=round(median(times)),
            max_ns=max(times),
        ),
        init_ns=finalize[0] if finalize else None,
        ops=_nodes(out, executions),
        left_out=tuple(left_out),
    )


def _us(out: Output, row: Mapping[str, str]) -> int:
    if row["Unit of Measurement"] != "US" or row["Event Level"] != "ROOT":
        out.wrong(f"'{row['Event Identifier']}' is not a total in microseconds")
    return out.ns(row["Time"], "us", row["Event Identifier"])


def _nodes(out: Output, executions: Sequence[Sequence[Mapping[str, str]]]) -> tuple[OpTime, ...]:
    """Return the nodes with their mean cycles, which do not exceed the accelerator's."""
    cycles: dict[str, list[int]] = {}
    for number, execution in enumerate(executions):
        root = [row for row in execution if row["Event Identifier"] == _CYCLES]
        nodes = [row for row in execution if row["Message"] == "NODE"]
        for row in nodes:
            name = row["Event Identifier"].removesuffix(_SUFFIX)
            if row["Unit of Measurement"] != "CYCLES" or name == row["Event Identifier"]:
                out.wrong(f"the node {name!r:.40} is not in cycles")
            cycles.setdefault(name, []).append(out.count(row["Time"], name, least=0))
        if nodes and len(root) != 1:
            out.wrong(f"execution {number + 1} has {len(root)} totals of cycles")
        if nodes:
            total = out.count(root[0]["Time"], _CYCLES)
            added = sum(int(row["Time"]) for row in nodes)
            if added > 1.01 * total:
                out.wrong(f"its nodes take {added} cycles together, the accelerator {total}")
    if any(len(series) != len(executions) for series in cycles.values()):
        out.wrong("its executions have different nodes")
    whole = sum(sum(series) for series in cycles.values())
    return tuple(
        OpTime(
            table="run",
            node_type=name.partition(":")[0],
            name=name,
            cycles=round(sum(series) / len(series)) or None,
            percent=100 * sum(series) / whole if whole else None,
            times_called=1,
        )
        for name, series in cycles.items()
    )
