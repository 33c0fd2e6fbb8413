"""SCALE-Sim's `COMPUTE_REPORT.csv`: cycles of each layer, and nothing after the last."""

from typing import Final

from hwnat.device.runners.logs.output import Output, csv_rows, need_columns
from hwnat.device.runners.logs.record import Estimate, OpTime, RuntimeLog

TOOL: Final = "scalesim"

_TOTAL: Final = "Total Cycles"
_PREFETCH: Final = "Total Cycles (incl. prefetch)"
_STALL: Final = "Stall Cycles"


def read(out: Output) -> RuntimeLog:
    """Read the report; the caller must compare the number of layers, see `parse_log`.

    Raises:
        DataError: a row is incomplete or contradicts itself.
    """
    rows = csv_rows(out, out.lines)
    if not rows:
        out.cut("its layers")
    need_columns(out, list(rows[0]), ("LayerID", _TOTAL, _STALL))
    cycles = [_cycles(out, number, row) for number, row in enumerate(rows)]
    whole = sum(cycles)
    return RuntimeLog(
        tool=TOOL,
        generation="csv",
        ops=tuple(
            OpTime(
                table="run",
                node_type="layer",
                name=str(number),
                cycles=each,
                percent=100 * each / whole,
            )
            for number, each in enumerate(cycles)
        ),
        estimate=Estimate(cycles=whole),
        left_out=("cycles of prefetching, stalls and utilisation",),
    )


def _cycles(out: Output, number: int, row: dict[str, str]) -> int:
    """Return the cycles of one layer, its stalls included."""
    if row["LayerID"] != str(number):
        out.wrong(f"layer {row['LayerID']!r:.20} where layer {number} should be")
    if row.get(""):
        out.wrong(f"layer {number} does not end with a comma")
    total = out.count(row[_TOTAL], _TOTAL)
    if out.count(row[_STALL], _STALL, least=0) > total:
        out.wrong(f"layer {number} stalls for longer than it runs")
    if _PREFETCH in row and out.count(row[_PREFETCH], _PREFETCH) < total:
        out.wrong(f"layer {number} takes fewer cycles with its prefetch than without")
    for name in row:
        if name.endswith("%") and out.decimal(row[name], name) > 100:
            out.wrong(f"layer {number}: {name} is {row[name]}")
    return total
