"""The cycles that rknn-toolkit2 logs while it builds a model: `RKNN(verbose=True).build()`."""

import re
from typing import Final

from hwnat.device.runners.logs.output import Output, need_columns
from hwnat.device.runners.logs.record import Delegation, Estimate, OpTime, RuntimeLog

TOOL: Final = "rknn-build"

_PREFIX: Final = re.compile(r"[DIWE] RKNN: \[[\d:.]+\] ?")
_TITLE: Final = "Network Layer Information Table"
_RULE: Final = re.compile(r"-{40,}")
_CYCLES: Final = "Cycles(DDR/NPU/Total)"
_COLUMNS: Final = ("ID", "OpType", "Target", "FullName", _CYCLES)


def read(out: Output) -> RuntimeLog:
    """Read the table of layers; complete with the rule under its last row.

    Raises:
        DataError: the table is incomplete or contradicts itself.
    """
    ops = _layers(out)
    if not ops or ops[-1].node_type != "OutputOperator":
        out.cut("the layer 'OutputOperator', its last")
    total = sum(op.cycles or 0 for op in ops)
    if not total:
        out.wrong("no layer takes cycles of the NPU")
    # What carries data in and out is no work that fell back.
    work = [op for op in ops if op.node_type not in ("InputOperator", "OutputOperator")]
    left = sum(op.place == "CPU" for op in work)
    return RuntimeLog(
        tool=TOOL,
        generation="table",
        ops=tuple(ops),
        delegates=(
            Delegation(
                name="RKNPU",
                extent="partial" if left else "full",
                cpu_operators=left,
                cpu_percent=100 * left / len(work),
            ),
        ),
        estimate=Estimate(cycles=total),
        left_out=("cycles of the memory and of the NPU apart", "bytes read and written"),
    )


def _layers(out: Output) -> list[OpTime]:
    lines = [_PREFIX.sub("", line, count=1).strip() for line in out.lines]
    titles = [number for number, line in enumerate(lines) if line == _TITLE]
    if len(titles) > 1:
        out.wrong(f"it is of {len(titles)} models")
    if not titles:
        out.cut(f"the table '{_TITLE}'")
    body = lines[titles[0] + 1 :]
    rules = [number for number, line in enumerate(body) if _RULE.fullmatch(line)]
    if len(rules) < 3 or rules[:2] != [0, 2]:
        out.cut("the rule under its table of layers")
    header = body[1].split()
    need_columns(out, header, _COLUMNS)
    ops = []
    for number, line in enumerate(body[3 : rules[2]]):
        cells = line.split(maxsplit=len(header) - 1)
        if len(cells) != len(header):
            out.wrong(f"{line!r:.80} has {len(cells)} cells, its header {len(header)}")
        row = dict(zip(header, cells, strict=True))
        if row["ID"] != str(number):
            out.wrong(f"layer {row['ID']!r:.20} where layer {number} should be")
        ops.append(_layer(out, row))
    return ops


def _layer(out: Output, row: dict[str, str]) -> OpTime:
    cycles = row[_CYCLES].split("/")
    if len(cycles) != 3:
        out.wrong(f"layer {row['ID']} has the cycles {row[_CYCLES]!r:.40}")
    memory, npu, total = (out.count(each, _CYCLES, least=0) for each in cycles)
    if not max(memory, npu) <= total <= memory + npu:
        out.wrong(f"layer {row['ID']} has the cycles {row[_CYCLES]}, whose total does not fit")
    if row["Target"] not in ("CPU", "NPU", "GPU"):
        out.wrong(f"layer {row['ID']} runs on {row['Target']!r:.20}")
    if row["Target"] == "NPU" and not total:
        out.wrong(f"layer {row['ID']} runs on the NPU in no cycles")
    return OpTime(
        table="run",
        node_type=row["OpType"],
        name=row["FullName"],
        cycles=total or None,
        place=row["Target"],
    )
