"""Arm's Vela, the compiler for Ethos-U: its text, and its summary and per-layer CSV.

Its times are those of the operators that run on the NPU. A network of which all operators fall
back to the CPU therefore has the time 0, which is refused; of how many fell back only the text
tells, for a file of layers that was cut after its last costly one is not told from a whole one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from hwnat.device.runners.logs.output import COUNT, NUMBER, Output, csv_rows, need_columns
from hwnat.device.runners.logs.record import Delegation, Estimate, OpTime, RuntimeLog
from hwnat.errors import DeviceError

TOOL: Final = "vela"

_CYCLES: Final = ("npu", "sram_access", "dram_access", "on_chip_flash_access",
                  "off_chip_flash_access")  # fmt: skip
_ZERO: Final = re.compile(r"-?0*\.?0*|nan", re.IGNORECASE)


def _fallback(out: Output) -> DeviceError:
    msg = (
        f"{out.where}: vela put every operator on the CPU, so its time of 0 is none of the NPU's. "
        "Ethos-U takes INT8 only: write such a file with: hwnat export --to ethosu."
    )
    return DeviceError(msg)


def read_summary(out: Output) -> RuntimeLog:
    """Read `<model>_summary_<system>.csv`.

    Raises:
        DeviceError: no operator runs on the NPU.
        DataError: it is incomplete, or its time, cycles and clock do not fit.
    """
    rows = csv_rows(out, out.lines)
    if len(rows) != 1:
        out.wrong(f"it has {len(rows)} rows, not one") if rows else out.cut("its row")
    row = rows[0]
    needed = ("accelerator_configuration", "system_config", "core_clock", "inference_time",
              "inferences_per_second", "cycles_total", "sram_memory_used")  # fmt: skip
    need_columns(out, list(row), needed)
    if all(_ZERO.fullmatch(row[name]) for name in ("inference_time", "cycles_total")):
        raise _fallback(out)
    clock = float(out.decimal(row["core_clock"], "core_clock"))
    cycles = out.count(row["cycles_total"], "cycles_total")
    estimate = _estimate(out, cycles, clock)
    seconds = float(out.decimal(row["inference_time"], "inference_time"))
    out.agree(seconds, cycles / clock, "the time", within=1e-13)
    rate = float(out.decimal(row["inferences_per_second"], "inferences_per_second"))
    out.agree(rate * seconds, 1.0, "inferences per second x time", within=1e-13)
    for part in (f"cycles_{name}" for name in _CYCLES):
        if part in row and out.decimal(row[part], part) > cycles:
            out.wrong(f"{part} is above cycles_total")
    return RuntimeLog(
        tool=TOOL,
        generation="summary-csv",
        device=f"{row['accelerator_configuration']}, {row['system_config']}",
        estimate=estimate,
        peak_memory_bytes=out.size(row["sram_memory_used"], "KiB", "sram_memory_used") or None,
        left_out=("bandwidths, weights and flash",),
    )


def _estimate(out: Output, cycles: int, clock_hz: float) -> Estimate:
    if not (math.isfinite(clock_hz) and 1e5 <= clock_hz <= 1e11):
        out.wrong(f"a clock of {clock_hz:g} Hz")
    return Estimate(
        cycles=cycles, clock_hz=round(clock_hz), latency_ns=max(1, round(cycles * 1e9 / clock_hz))
    )


def read_layers(out: Output) -> RuntimeLog:
    """Read `<model>_per-layer.csv`; complete when the layers' shares add up to the network.

    Raises:
        DeviceError: no layer runs on the NPU.
        DataError: a layer is missing or contradicts its share.
    """
    lines = out.lines
    need = ("Original Operator", "NNG Operator", "Target", "Op Cycles", "Network% (cycles)", "Name")
    need_columns(out, lines[0].split(","), need)
    rows = csv_rows(out, lines)
    cycles = [out.count(row["Op Cycles"], "Op Cycles", least=0) for row in rows]
    if not rows:
        out.cut("its layers")
    if not any(row["Target"] == "NPU" for row in rows):
        raise _fallback(out)
    shares = _shares(out, rows, cycles)
    left = sum(row["Target"] == "CPU" for row in rows)
    return RuntimeLog(
        tool=TOOL,
        generation="per-layer-csv",
        ops=tuple(
            OpTime(
                table="run",
                node_type=f"{row['Original Operator']}/{row['NNG Operator']}",
                name=row["Name"],
                percent=share,
                cycles=each or None,
                place=row["Target"],
            )
            for row, each, share in zip(rows, cycles, shares, strict=True)
        ),
        delegates=(Delegation(name="Ethos-U", extent="partial", cpu_operators=left),)
        if left
        else (),
        estimate=Estimate(cycles=sum(cycles)),
        left_out=("memory cycles, MACs and utilisation of each layer",),
    )


def _shares(
    out: Output, rows: Sequence[Mapping[str, str]], cycles: Sequence[int]
) -> Sequence[float]:
    """Return the layers' percentages of all cycles, found to be those of their cycles."""
    whole = sum(cycles)
    shares = [float(out.decimal(row["Network% (cycles)"], "Network%")) for row in rows]
    if not whole or not abs(sum(shares) - 100) <= 1e-6:
        out.cut(f"layers that take {100 - sum(shares):.3g} % of the cycles")
    for row, each, share in zip(rows, cycles, shares, strict=True):
        if abs(share - 100 * each / whole) > 1e-9 * max(1, share):
            out.wrong(f"{row['Name']} takes {each} cycles, yet {share} % of all")
        if row["Target"] not in ("CPU", "NPU") or (row["Target"] == "CPU" and each):
            out.wrong(f"{row['Name']} takes {each} cycles on {row['Target']!r:.20}")
    return shares


def read_text(out: Output) -> RuntimeLog:
    """Read what `vela` prints; complete with the line `Batch Inference time`.

    Raises:
        DeviceError: no operator runs on the NPU.
        DataError: it is incomplete, or its time, cycles and clock do not fit.
    """
    lines = out.lines

    def one(label: str, pattern: str) -> str:
        return out.match_one(rf"{label} +{pattern}", lines, label)[1]

    chip = one("Accelerator configuration", r"(\S+)")
    delegation = _delegation(out, lines, chip)
    cycles = out.count(one("Total cycles", r"(\d+) cycles/batch"), "Total cycles")
    end = one("Batch Inference time", rf"({NUMBER}) ms, +{NUMBER} inferences/s \(batch size \d+\)")
    clock = out.count(one("Accelerator clock", r"(\d+) MHz"), "Accelerator clock") * 1e6
    estimate = _estimate(out, cycles, clock)
    if abs((estimate.latency_ns or 0) - (out.ns_or_none(end, "ms", "time") or 0)) > 5_100:
        out.wrong(f"{cycles} cycles at {clock:g} Hz do not take {end} ms")
    memory = out.match_any(rf"Total SRAM used +({NUMBER}) KiB", lines, "Total SRAM used")
    return RuntimeLog(
        tool=TOOL,
        generation="text",
        device=f"{chip}, {one('System configuration', '([^ ]+)')}",
        delegates=(delegation,),
        estimate=estimate,
        peak_memory_bytes=(memory and out.size(memory[1], "KiB", "Total SRAM used")) or None,
        left_out=("bandwidths, weights and flash",),
    )


def _delegation(out: Output, lines: Sequence[str], chip: str) -> Delegation:
    """Return how many operators the NPU took."""
    on = {
        place: out.match_one(
            rf"{place} operators = ({COUNT}) \( *({NUMBER})%\)", lines, f"{place} operators"
        )
        for place in ("CPU", "NPU")
    }
    left, taken = int(on["CPU"][1]), int(on["NPU"][1])
    if taken == 0:  # Vela then prints no cycles at all.
        raise _fallback(out)
    percent = float(on["CPU"][2])
    if abs(percent - 100 * left / (left + taken)) > 0.06:
        out.wrong(f"{left} of {left + taken} operators on the CPU, yet {percent} %")
    return Delegation(
        name=chip,
        extent="partial" if left else "full",
        cpu_operators=left,
        cpu_percent=percent,
    )
