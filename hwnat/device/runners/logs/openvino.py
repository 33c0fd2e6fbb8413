"""OpenVINO's `benchmark_app`: what it prints, and its two JSON reports."""

from collections.abc import Mapping
from typing import Any, Final

from hwnat.device.runners.logs.output import NUMBER, Output
from hwnat.device.runners.logs.record import OpTime, RuntimeLog, Timing

TOOL: Final = "benchmark_app"

_MS: Final = rf"({NUMBER}) ms"
_LAST_STEP: Final = "[Step 11/11] Dumping statistics report"


def read(out: Output) -> RuntimeLog:
    """Read the printed text; complete with the line of the throughput.

    Raises:
        DataError: it is incomplete or contradicts itself.
    """
    lines = out.lines
    if _LAST_STEP not in lines:
        out.cut("its step 11 of 11")
    found = {"throughput": _info(out, lines, "Throughput", rf"({NUMBER}) FPS")}
    for label in ("Median", "Average", "Min", "Max", "Duration"):
        found[label.lower()] = _info(out, lines, label, _MS)
    found["count"] = _info(out, lines, "Count", r"(\d+) iterations")
    sync = any("(Start inference synchronously" in line for line in lines)
    batch = out.match_any(r"\[ INFO \] Model batch size: (\d+)", lines, "Model batch size")
    first = out.match_any(rf"\[ INFO \] First inference took {_MS}", lines, "First inference took")
    steps = {}
    for step in ("Read model", "Reshape model", "Compile model"):
        match = out.match_any(rf"\[ INFO \] {step} took {_MS}", lines, step)
        steps[step] = match and match[1]
    return RuntimeLog(
        tool=TOOL,
        generation="text",
        inference=_timing(out, found, batch=batch[1] if batch and sync else None),
        init_ns=_init(out, steps),
        first_ns=first and out.ns(first[1], "ms", "First inference"),
        left_out=("memory at compilation",) if "memory usage: Peak" in out.text else (),
    )


def _info(out: Output, lines: list[str], label: str, pattern: str) -> str:
    return out.match_one(rf"\[ INFO \] \s*{label}: +{pattern}", lines, label)[1]


def _init(out: Output, steps: Mapping[str, str | None]) -> int | None:
    """Return the sum of reading, reshaping and compiling, None where compiling is not told."""
    if steps["Compile model"] is None:
        return None
    return sum(out.ns_or_none(ms, "ms", step) or 0 for step, ms in steps.items() if ms) or None


def _timing(out: Output, found: Mapping[str, str], *, batch: str | None) -> Timing:
    """Return the figures; those of a synchronous run must fit its duration and throughput."""
    timing = Timing(
        count=out.count(found["count"], "Count"),
        min_ns=out.ns(found["min"], "ms", "Min"),
        avg_ns=out.ns(found["average"], "ms", "Average"),
        median_ns=out.ns(found["median"], "ms", "Median"),
        max_ns=out.ns(found["max"], "ms", "Max"),
    )
    if batch is None:
        return timing
    duration = out.ns(found["duration"], "ms", "Duration")
    inferring = out.count(found["count"], "Count") * out.ns(found["average"], "ms", "Average")
    if not 0.5 * duration <= inferring <= 1.01 * duration:
        out.wrong(f"Count x Average is {inferring} ns, Duration {duration} ns")
    fps = float(out.decimal(found["throughput"], "Throughput"))
    size = out.count(batch, "Model batch size")
    # Releases before 2022 divide by the median, later ones by the duration.
    ways = (
        size * 1e9 / out.ns(found["median"], "ms", "Median"),
        size * 1e9 * out.count(found["count"], "Count") / duration,
    )
    if not any(abs(fps - way) <= 0.01 * way for way in ways):
        out.wrong(f"Throughput is {fps} FPS, which its other figures do not give")
    return timing


def read_report(out: Output, report: Mapping[str, Any]) -> RuntimeLog:
    """Read `benchmark_report.json`.

    Raises:
        DataError: it is incomplete or contradicts itself.
    """
    results, setup = report["execution_results"], report.get("configuration_setup")
    if not isinstance(results, Mapping) or not isinstance(setup, Mapping):
        out.wrong("'execution_results' or 'configuration_setup' is no table of keys")

    def text(key: str) -> str:
        if key not in results:
            out.cut(f"its key 'execution_results: {key}'")
        if not isinstance(results[key], str):
            out.wrong(f"{key} is {results[key]!r:.40}, not a number in quotes")
        return str(results[key])

    found = {
        "count": text("total number of iterations"),
        "duration": text("total execution time (ms)"),
        "median": text("latency (ms)"),
        "average": text("avg latency"),
        "min": text("min latency"),
        "max": text("max latency"),
        "throughput": text("throughput"),
    }
    batch = str(setup.get("batch size")) if setup.get("API") == "sync" else None
    steps = {}
    for step in ("read", "reshape", "compile"):
        key = f"{step} model time (ms)"
        steps[f"{step.capitalize()} model"] = text(key) if key in results else None
    first = "first inference time (ms)"
    return RuntimeLog(
        tool=TOOL,
        generation="json",
        inference=_timing(out, found, batch=batch),
        init_ns=_init(out, steps),
        first_ns=out.ns(text(first), "ms", first) if first in results else None,
    )


def read_counters(out: Output, report: Mapping[str, Any]) -> RuntimeLog:
    """Read `benchmark_detailed_counters_report.json`: milliseconds of each node.

    Raises:
        DataError: it is incomplete, of several streams, or its nodes do not add up to its total.
    """
    streams = report["detailed_performance"]
    if not isinstance(streams, list) or len(streams) != 1 or not isinstance(streams[0], Mapping):
        out.wrong("it is not of one infer request: run benchmark_app with -api sync -nstreams 1")
    nodes = streams[0].get("nodes")
    if not isinstance(nodes, list) or not nodes:
        out.cut("its nodes")
    ops = tuple(_node(out, node) for node in nodes)
    total = out.ns(str(streams[0].get("total_real_time")), "ms", "total_real_time")
    added = sum(op.avg_ns or 0 for op in ops)
    if abs(added - total) > 500 * (len(ops) + 1):
        out.wrong(f"its nodes take {added} ns together, its total is {total} ns")
    return RuntimeLog(
        tool=TOOL, generation="counters", ops=ops, left_out=("cpu_time of each node",)
    )


def _node(out: Output, node: object) -> OpTime:
    names = ("name", "node_type", "status", "real_time", "exec_type")
    if not isinstance(node, Mapping) or not all(isinstance(node.get(each), str) for each in names):
        out.wrong(f"{node!r:.60} is no node with {', '.join(names)}")
    name, kind, status, real_ms, place = (str(node[each]) for each in names)
    avg_ns = out.ns_or_none(real_ms, "ms", name)
    status = status.rpartition(".")[2]
    if status not in ("EXECUTED", "NOT_RUN", "OPTIMIZED_OUT"):
        out.wrong(f"{name} has the unknown status {status!r:.40}")
    if status != "EXECUTED" and avg_ns is not None:
        out.wrong(f"{name} did not run, yet took {real_ms} ms")
    return OpTime(table="run", node_type=kind, name=name, avg_ns=avg_ns, place=place)
