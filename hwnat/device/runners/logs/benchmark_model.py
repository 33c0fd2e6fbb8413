"""Parse the runs that `benchmark_model` of TensorFlow Lite or LiteRT prints, in any version.

An output is complete if it ends with the summary, or with the memory footprint in versions that
print one. A missing peak memory cannot be noticed, so it is None. `hwnat table import` reads the
operator tables.

Source: format strings of tensorflow/lite/tools/benchmark, 1.14 to LiteRT 2.3.
"""

import re
from collections.abc import Sequence
from typing import Final

from hwnat.device.runners.logs.output import NUMBER, Output, runner_output
from hwnat.device.runners.logs.record import Delegation, ModelLog, Runs

TOOL: Final = "benchmark_model"

_PREFIX: Final = re.compile(r"(?:INFO|WARNING|ERROR|VERBOSE): (?:\[[\w./+-]+:\d+\] )?")
_N: Final = f"({NUMBER})"
_SUMMARY_1: Final = (
    rf"Average inference timings in us: Warmup: {_N}, Init: {_N}, (?:no stats|Inference): {_N}"
)
_SUMMARY_2: Final = (
    rf"Inference timings in us: Init: {_N}, First inference: {_N}, "
    rf"Warmup \(avg\): {_N}, Inference \(avg\): {_N}"
)
_FOOTPRINT: Final = (
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    rf"init={_N} overall={_N}"
)
_PEAK: Final = rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_N}"
_SECTION: Final = re.compile(r"Running benchmark for at least \d+ iterations? and at least .*")
_APPLIED: Final = re.compile(
    r"Explicitly applied (.+?) delegate, and the model graph will be (completely|partially) "
    r"executed by the delegate(?: w/ ([0-9]{1,9}) delegate kernels?)?\.?"
)
_NOT_APPLIED: Final = re.compile(
    r"Though (.+?) delegate is explicitly applied, the model graph will not be executed by the "
    r"delegate\.?"
)
_SPLIT: Final = (
    r"[0-9]+ operations will run on the (?:GPU|NPU|DSP), "
    r"and the remaining ([0-9]{1,9}) operations will run on the CPU\."
)
_STATS: Final = {"count", "first", "curr", "min", "max", "avg", "std", "p5", "median", "p95"}


def read_benchmark_model(raw: str, *, where: str, runs: int | None = None) -> ModelLog:
    """Read everything that the tool printed about one model.

    Args:
        raw: the output, complete and unchanged.
        where: the device, for messages.
        runs: requested number of timed runs; an output with fewer is refused.

    Raises:
        DeviceError: the tool or its shell reports a failure.
        DataError: the output is incomplete or contradicts itself.
    """
    with runner_output(raw, tool=TOOL, where=where) as out:
        log = _read(out)
        if runs is not None and log.inference.count < runs:
            out.wrong(f"it has {log.inference.count} runs, {runs} were requested")
        return log


def _read(out: Output) -> ModelLog:
    lines = [_PREFIX.sub("", line, count=1) for line in out.lines]
    old = out.match_any(_SUMMARY_1, lines, "Average inference timings in us")
    new = out.match_any(_SUMMARY_2, lines, "Inference timings in us")
    if old and new:
        out.wrong("it has two summaries, so it is of several runs")
    names = ("warmup", "init", "inference") if old else ("init", "first", "warmup", "inference")
    summary = old or new
    if summary is None:
        out.cut("its line 'Inference timings in us'")
    printed = dict(zip(names, summary.groups(), strict=True))
    warmup, inference = _sections(out, lines, printed)
    footprint = out.match_any(_FOOTPRINT, lines, "memory footprint")
    if new and footprint is None:
        out.cut("the line 'Memory footprint delta from the start of the tool'")
    peak = out.match_any(_PEAK, lines, "Overall peak memory footprint")
    if peak is None and "Report the peak memory footprint: [1]" in lines:
        out.cut("its line 'Overall peak memory footprint'")
    return ModelLog(
        inference=inference,
        warmup=warmup,
        init_ns=_init_ns(out, lines, printed),
        first_ns=out.ns(printed["first"], "us", "First inference") if warmup and new else None,
        delegates=_delegates(out, lines),
        init_memory_bytes=footprint and out.megabytes(footprint[1], "init"),
        overall_memory_bytes=footprint and out.megabytes(footprint[2], "overall"),
        peak_memory_bytes=(peak and out.megabytes(peak[1], "peak memory")) or None,
    )


def _sections(
    out: Output, lines: Sequence[str], printed: dict[str, str]
) -> tuple[Runs | None, Runs]:
    """Return warm-up and timed runs after comparing them with the summary."""
    sections: list[tuple[Runs, dict[str, str]] | None] = []
    for line in lines:
        if _SECTION.fullmatch(line):
            sections.append(None)
        elif line.startswith("count="):
            if not sections or sections[-1] is not None:
                out.wrong("a line 'count=' without 'Running benchmark for' before it")
            sections[-1] = _runs(out, line)
    finished = [section for section in sections if section is not None]
    if len(finished) != len(sections) or len(sections) not in (1, 2):
        out.wrong(f"{len(sections)} series of runs, {len(finished)} of them with results")
    inference = finished[-1][0]
    _check_average(out, inference, printed["inference"], "Inference (avg)")
    if len(finished) == 1:
        if out.decimal(printed["warmup"], "Warmup"):
            out.wrong("the summary has a warm-up that never ran")
        return None, inference
    warmup, fields = finished[0]
    _check_average(out, warmup, printed["warmup"], "Warmup (avg)")
    if "first" in printed:
        first = out.decimal(fields.get("first", fields["curr"]), "first")
        summarised = out.decimal(printed["first"], "First inference")
        out.agree(float(first), float(summarised), "the first inference")
    return warmup, inference


def _runs(out: Output, text: str) -> tuple[Runs, dict[str, str]]:
    """Parse `count=… first=… …` in microseconds; also return the fields as printed."""
    parts = text.replace("(all same)", "").split()
    fields = dict(part.split("=", 1) for part in parts if part.count("=") == 1)
    if len(fields) != len(parts) or not set(fields) <= _STATS:
        out.wrong(f"{text!r:.80} is not the statistics of a series of runs")
    if "count" not in fields or "curr" not in fields:
        out.cut("the values after 'count='")
    count = out.count(fields["count"], "count")
    names = ("first", "curr", "min", "avg", "max", "p5", "median", "p95")
    ns = {name: out.ns(fields[name], "us", name) for name in names if name in fields}
    if "avg" not in fields:  # There was a single run, or all runs took equally long.
        if not {"first", "min", "max", "std"}.isdisjoint(fields) or len(set(ns.values())) > 1:
            out.wrong(f"{text!r:.80} has no average")
        same = ns["curr"]
        runs = Runs(count=count, min_ns=same, avg_ns=same, median_ns=same, p95_ns=same, max_ns=same)
        return runs, fields
    missing = {"first", "min", "max", "std"} - set(fields)
    if missing:
        out.wrong(f"'{min(missing)}' is missing from {text!r:.80}")
    for name, value in ns.items():
        if not ns["min"] <= value * 1.00001 <= ns["max"] * 1.00002:
            out.wrong(f"{name} is {fields[name]}, which is not between min and max")
    runs = Runs(
        count=count,
        min_ns=ns["min"],
        avg_ns=ns["avg"],
        median_ns=ns.get("median"),
        p95_ns=ns.get("p95"),
        max_ns=ns["max"],
        std_ns=out.ns_or_none(fields["std"], "us", "std") or 0,
    )
    return runs, fields


def _check_average(out: Output, runs: Runs, printed: str, what: str) -> None:
    if runs.avg_ns is None:
        out.wrong(f"{what} has no average")
    out.agree(runs.avg_ns, out.ns(printed, "us", what), what)


def _init_ns(out: Output, lines: Sequence[str], printed: dict[str, str]) -> int:
    """Return the initialisation time, which the tool prints twice."""
    line = out.match_one(rf"Initialized session in {_N}ms\.?", lines, "Initialized session in")
    init_ns = out.ns(printed["init"], "us", "Init")
    out.agree(out.ns(line[1], "ms", "Init"), init_ns, "Init")
    return init_ns


def _delegates(out: Output, lines: Sequence[str]) -> tuple[Delegation, ...]:
    """Return how much of the model each requested delegate runs."""
    split = out.match_any(_SPLIT, lines, "operations will run on")
    on_cpu = int(split[1]) if split else None
    delegations = []
    for line in lines:
        if applied := _APPLIED.fullmatch(line):
            name, extent, kernels = applied.groups()
            delegations.append(
                Delegation(
                    name=name,
                    extent="partial" if extent == "partially" else "full",
                    kernels=None if kernels is None else int(kernels),
                    cpu_operators=on_cpu if name != "XNNPACK" else None,
                )
            )
        elif refused := _NOT_APPLIED.fullmatch(line):
            delegations.append(Delegation(name=refused[1], extent="none", kernels=0))
    if not delegations and any("licitly applied " in line and "delegate" in line for line in lines):
        out.wrong("the line about its delegate is not readable")
    return tuple(delegations)
