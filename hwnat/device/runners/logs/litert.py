"""LiteRT's own runners: `benchmark_litert_model` (C++, on stderr) and `litert-benchmark`."""

import re
from collections.abc import Mapping
from typing import Any, Final

from hwnat.device.runners.logs.benchmark_model import plain_lines
from hwnat.device.runners.logs.op_table import read_profile
from hwnat.device.runners.logs.output import NUMBER, Output
from hwnat.device.runners.logs.record import Delegation, RuntimeLog, Timing

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
    results, rest = _split(out, plain_lines(out))

    def ms(label: str, pattern: str = _MS) -> re.Match[str]:
        return out.match_one(rf"{re.escape(label)}: +{pattern}", results, label)

    runs = rf"{_MS} \((\d+) runs\)"
    warmup, inference = ms("Warmup (avg)", runs), ms("Inference (avg)", runs)
    warmed = out.count(warmup[2], "warm-up runs", least=0)
    # The tool prints this one without its unit.
    std = ms("Inference (std)", rf"({NUMBER})")[1]
    names = ("Init footprint", "Overall footprint", "Peak memory")
    memory = [_megabytes(out, results, name) for name in names]
    profile = read_profile(out, rest)
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
        init_memory_bytes=memory[0],
        overall_memory_bytes=memory[1],
        peak_memory_bytes=memory[2],
        left_out=tuple(dict.fromkeys(profile.left_out)),
    )


def _split(out: Output, lines: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines of the results, and those after the line of `=` under them."""
    start = [number for number, line in enumerate(lines) if line == _BANNER]
    if len(start) != 1:
        out.wrong(f"'{_BANNER}' is there {len(start)} times")
    for number, line in enumerate(lines):
        if number > start[0] and _END.fullmatch(line):
            return lines[start[0] : number], lines[number + 1 :]
    return out.cut("the line of '=' after its results")


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

    def number(key: str) -> str:
        return _number(out, latency, key)

    def ns(key: str) -> int:
        return out.ns(number(key), "ms", key)

    warmed = out.count(number("num_warmup_runs"), "num_warmup_runs", least=0)
    return RuntimeLog(
        tool=PYTHON_TOOL,
        generation="json",
        inference=Timing(
            count=out.count(number("num_runs"), "num_runs"),
            min_ns=ns("min_ms"),
            avg_ns=ns("avg_ms"),
            median_ns=ns("median_ms"),
            p95_ns=ns("p95_ms"),
            max_ns=ns("max_ms"),
            std_ns=out.ns_or_none(number("std_ms"), "ms", "std_ms") or 0,
        ),
        warmup=Timing(count=warmed, avg_ns=ns("warmup_avg_ms")) if warmed else None,
        init_ns=ns("init_ms"),
        first_ns=ns("warmup_first_ms") if warmed else None,
        delegates=_accelerators(out, report),
    )


def _number(out: Output, latency: Mapping[str, Any], key: str) -> str:
    """Return a figure of the report as digits."""
    if key not in latency:
        out.cut(f"its key 'latency: {key}'")
    value = latency[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        out.wrong(f"latency: {key} is {value!r:.40}")
    return str(value) if isinstance(value, int) else format(value, "f")


def _accelerators(out: Output, report: Mapping[str, Any]) -> tuple[Delegation, ...]:
    """Return what was offered and whether it took all; which of several it was, nobody says."""
    names, fully = report.get("accelerators"), report.get("fully_accelerated")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        out.wrong("'accelerators' is no list of names")
    if not isinstance(fully, bool):
        out.wrong("'fully_accelerated' is neither true nor false")
    return (Delegation(name="|".join(names), extent="full" if fully else "partial"),)
