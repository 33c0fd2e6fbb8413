"""LiteRT's own runners: `benchmark_litert_model` (C++, on stderr) and `litert-benchmark`."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from hwnat.profile.runtime_log.benchmark_model import plain_lines
from hwnat.profile.runtime_log.op_table import read_profile
from hwnat.profile.runtime_log.output import NUMBER, Output
from hwnat.profile.runtime_log.record import Delegation, RuntimeLog, Timing

MODEL_TOOL: Final = "benchmark_litert_model"
PYTHON_TOOL: Final = "litert-benchmark"

_BANNER: Final = "========== BENCHMARK RESULTS =========="
_END: Final = re.compile(r"={30,}")
_MS: Final = rf"({NUMBER}) ms"


def read_model(out: Output) -> RuntimeLog:
    """Read `benchmark_litert_model`; complete with the line of `=` after its results.

    Raises:
        DataError: it is incomplete or contradicts itself.
    """
    lines = plain_lines(out)
    start = [number for number, line in enumerate(lines) if line == _BANNER]
    if len(start) != 1:
        out.wrong(f"'{_BANNER}' is there {len(start)} times")
    end = next((n for n, line in enumerate(lines[start[0] :]) if _END.fullmatch(line)), None)
    if end is None:
        out.cut("the line of '=' after its results")
    results = lines[start[0] : start[0] + end]

    def ms(label: str, pattern: str = _MS) -> re.Match[str]:
        return out.match_one(rf"{re.escape(label)}: +{pattern}", results, label)

    runs = rf"{_MS} \((\d+) runs\)"
    warmup, inference = ms("Warmup (avg)", runs), ms("Inference (avg)", runs)
    warmed = out.count(warmup[2], "warm-up runs", least=0)
    # The tool prints this one without its unit.
    std = ms("Inference (std)", rf"({NUMBER})")[1]
    profile = read_profile(out, lines[start[0] + end + 1 :])
    return RuntimeLog(
        tool=MODEL_TOOL,
        generation="litert",
        inference=Timing(
            count=out.count(inference[2], "runs"),
            min_ns=out.ns(ms("Inference (min)")[1], "ms", "Inference (min)"),
            avg_ns=out.ns(inference[1], "ms", "Inference (avg)"),
            max_ns=out.ns(ms("Inference (max)")[1], "ms", "Inference (max)"),
            std_ns=out.ns_or_none(std, "ms", "Inference (std)") or 0,
        ),
        warmup=Timing(count=warmed, avg_ns=out.ns(warmup[1], "ms", "Warmup")) if warmed else None,
        init_ns=out.ns(ms("Model initialization")[1], "ms", "Model initialization"),
        first_ns=out.ns(ms("Warmup (first)")[1], "ms", "Warmup (first)") if warmed else None,
        ops=tuple(profile.ops),
        init_memory_bytes=_megabytes(out, results, "Init footprint"),
        overall_memory_bytes=_megabytes(out, results, "Overall footprint"),
        peak_memory_bytes=_megabytes(out, results, "Peak memory"),
        left_out=tuple(dict.fromkeys(profile.left_out)),
    )


def _megabytes(out: Output, results: list[str], label: str) -> int | None:
    found = out.match_any(rf"{label}: +({NUMBER}) MB", results, label)
    return None if found is None else out.size(found[1], "MB", label)


def read_python(out: Output, report: Mapping[str, Any]) -> RuntimeLog:
    """Read the file that `litert-benchmark --result_json` writes.

    Raises:
        DataError: it is incomplete or contradicts itself.
    """
    latency = report["latency"]
    if not isinstance(latency, Mapping):
        out.wrong("'latency' is no table of keys")

    def number(key: str) -> float:
        value = latency.get(key)
        if value is None:
            out.cut(f"its key 'latency: {key}'")
        if isinstance(value, bool) or not isinstance(value, int | float):
            out.wrong(f"latency: {key} is {value!r:.40}")
        return value

    def ns(key: str) -> int:
        value = number(key)
        if not (math.isfinite(value) and value >= 0):
            out.wrong(f"latency: {key} is {value}")
        return out.ns(format(value, "f"), "ms", key)

    warmed = out.count(str(number("num_warmup_runs")), "num_warmup_runs", least=0)
    std = out.decimal(format(number("std_ms"), "f"), "std_ms")
    return RuntimeLog(
        tool=PYTHON_TOOL,
        generation="json",
        inference=Timing(
            count=out.count(str(number("num_runs")), "num_runs"),
            min_ns=ns("min_ms"),
            avg_ns=ns("avg_ms"),
            median_ns=ns("median_ms"),
            p95_ns=ns("p95_ms"),
            max_ns=ns("max_ms"),
            std_ns=round(std * 1_000_000),
        ),
        warmup=Timing(count=warmed, avg_ns=ns("warmup_avg_ms")) if warmed else None,
        init_ns=ns("init_ms"),
        first_ns=ns("warmup_first_ms") if warmed else None,
        delegates=_accelerators(out, report),
    )


def _accelerators(out: Output, report: Mapping[str, Any]) -> tuple[Delegation, ...]:
    """Return what was offered and whether it took all; which of several it was, nobody says."""
    names, fully = report.get("accelerators"), report.get("fully_accelerated")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        out.wrong("'accelerators' is no list of names")
    if not isinstance(fully, bool):
        out.wrong("'fully_accelerated' is neither true nor false")
    return (Delegation(name="|".join(names), extent="full" if fully else "partial"),)
