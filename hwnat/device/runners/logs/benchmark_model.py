"""What TensorFlow Lite's and LiteRT's `benchmark_model` prints, in all generations.

An output is complete when its summary has come, the memory footprint has followed where this
generation prints one, and every operator table that was announced has reached `nodes observed`.
What may follow, the peak memory and tables of delegates and subgraphs, has no mark of its own:
where it is missing, fields are None and rows are absent, and none is wrong.

Source: format strings of tensorflow/lite/tools/benchmark, 1.14 to LiteRT 2.3.
"""

import re
from collections.abc import Sequence
from typing import Final

from hwnat.device.runners.logs.op_table import Profile, read_profile, read_stat
from hwnat.device.runners.logs.output import NUMBER, Output
from hwnat.device.runners.logs.record import Delegation, RuntimeLog, Timing

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
_ELSEWHERE: Final = re.compile(
    r"(?:CSV File to export profiling data to|Op profiling output (?:mode|file)[^:]*): \[(.+)\]"
)


def plain_lines(out: Output) -> list[str]:
    """Return the lines without the prefixes that the tool and its runtime give them."""
    return [_PREFIX.sub("", line, count=1) for line in out.lines]


def read(out: Output) -> RuntimeLog:
    """Read everything the tool printed.

    Raises:
        DataError: it is incomplete or contradicts itself.
    """
    lines = plain_lines(out)
    summary = _summary(out, lines)
    warmup, inference = _sections(out, lines, summary)
    profile = read_profile(out, lines)
    _check_announced(out, lines, profile)
    footprint = out.match_any(_FOOTPRINT, lines, "memory footprint")
    if summary["generation"] != "tf1" and footprint is None:
        out.cut("the line 'Memory footprint delta from the start of the tool'")
    peak = out.match_any(_PEAK, lines, "Overall peak memory footprint")
    if peak is None and "Report the peak memory footprint: [1]" in lines:
        out.cut("its line 'Overall peak memory footprint'")
    generation = summary["generation"]
    if profile.layout == "padded":
        generation = "litert-capi"
    elif generation != "tf1" and re.search(r"^INFO: Inference timings", out.text, re.MULTILINE):
        generation = "litert"
    return RuntimeLog(
        tool=TOOL,
        generation=generation,
        inference=inference,
        warmup=warmup,
        profiled=profile.profiled,
        init_ns=out.ns(summary["init"], "us", "Init"),
        first_ns=_first(out, summary),
        ops=tuple(profile.ops),
        delegates=_delegates(out, lines),
        init_memory_bytes=footprint and out.size(footprint[1], "MB", "init"),
        overall_memory_bytes=footprint and out.size(footprint[2], "MB", "overall"),
        peak_memory_bytes=peak and out.size(peak[1], "MB", "peak memory"),
        left_out=tuple(dict.fromkeys(profile.left_out)),
    )


def _summary(out: Output, lines: Sequence[str]) -> dict[str, str]:
    """Return the figures of the summary line, as printed."""
    old = out.match_any(_SUMMARY_1, lines, "Average inference timings in us")
    new = out.match_any(_SUMMARY_2, lines, "Inference timings in us")
    if old and new:
        out.wrong("it has two summaries, so it is of several runs")
    if old:
        return {"generation": "tf1", "warmup": old[1], "init": old[2], "inference": old[3]}
    if new is None:
        out.cut("its line 'Inference timings in us'")
    names = ("init", "first", "warmup", "inference")
    return {"generation": "tf2", **dict(zip(names, new.groups(), strict=True))}


def _sections(
    out: Output, lines: Sequence[str], summary: dict[str, str]
) -> tuple[Timing | None, Timing]:
    """Return the warm-up's and the inference's figures, each found to agree with the summary."""
    stats: list[tuple[Timing, dict[str, str]] | None] = []
    for line in lines:
        if _SECTION.fullmatch(line):
            stats.append(None)
        elif line.startswith("count="):
            if not stats or stats[-1] is not None:
                out.wrong("a line 'count=' without 'Running benchmark for' before it")
            stats[-1] = read_stat(out, line)
    found = [each for each in stats if each is not None]
    if len(found) != len(stats) or len(stats) not in (1, 2):
        out.wrong(f"{len(stats)} series of runs, {len(found)} of them with results")
    _check_init(out, lines, summary)
    inference = found[-1][0]
    _agree_us(out, inference, summary["inference"], "Inference (avg)")
    if len(found) == 1:
        if out.decimal(summary["warmup"], "Warmup"):
            out.wrong("a warm-up in the summary that never ran")
        return None, inference
    warmup, fields = found[0]
    _agree_us(out, warmup, summary["warmup"], "Warmup (avg)")
    if "first" in summary:
        first = out.decimal(fields.get("first", fields["curr"]), "first")
        given = out.decimal(summary["first"], "First inference")
        out.agree(float(first), float(given), "the first inference")
    return warmup, inference


def _agree_us(out: Output, timing: Timing, printed: str, what: str) -> None:
    average = timing.avg_ns
    if average is None:
        out.wrong(f"{what} has no average")
    out.agree(average, out.ns(printed, "us", what), what)


def _check_init(out: Output, lines: Sequence[str], summary: dict[str, str]) -> None:
    pattern = rf"Initialized session in {_N}ms\.?"
    printed = out.match_one(pattern, lines, "Initialized session in")[1]
    out.agree(out.ns(printed, "ms", "Init"), out.ns(summary["init"], "us", "Init"), "Init")


def _first(out: Output, summary: dict[str, str]) -> int | None:
    """Return the first inference's time, None where there was no warm-up."""
    if "first" not in summary or not out.decimal(summary["warmup"], "Warmup"):
        return None
    return out.ns(summary["first"], "us", "First inference")


def _check_announced(out: Output, lines: Sequence[str], profile: Profile) -> None:
    """Refuse an output that says it profiles operators, and has no table of them."""
    elsewhere = any(found[1] != "stdout" for line in lines if (found := _ELSEWHERE.fullmatch(line)))
    if "Enable op profiling: [1]" in lines and "run" not in profile.seen and not elsewhere:
        out.cut("the operator table")


def _delegates(out: Output, lines: Sequence[str]) -> tuple[Delegation, ...]:
    """Return what the tool says of each delegate that was asked for."""
    split = out.match_any(_SPLIT, lines, "operations will run on")
    left = int(split[1]) if split else None
    found = []
    for line in lines:
        if applied := _APPLIED.fullmatch(line):
            name, extent, kernels = applied.groups()
            partial = extent == "partially"
            found.append(
                Delegation(
                    name=name,
                    extent="partial" if partial else "full",
                    kernels=None if kernels is None else int(kernels),
                    cpu_operators=left if name != "XNNPACK" else None,
                )
            )
        elif refused := _NOT_APPLIED.fullmatch(line):
            found.append(Delegation(name=refused[1], extent="none", kernels=0))
    if not found and any("licitly applied " in line and "delegate" in line for line in lines):
        out.wrong("what its delegate took is not readable")
    return tuple(found)


def read_csv(out: Output) -> RuntimeLog:
    """Read a file of operator profiles as `--profiling_output_csv_file` writes it."""
    return _profile_only(out, out.lines, TOOL, require_heading=True)


def read_summary(out: Output) -> RuntimeLog:
    """Read the text of LiteRT's `LiteRtGetProfileSummary`, by itself."""
    return _profile_only(out, plain_lines(out), "litert-profiler", require_heading=False)


def _profile_only(
    out: Output, lines: Sequence[str], tool: str, *, require_heading: bool
) -> RuntimeLog:
    profile = read_profile(out, lines)
    if (require_heading and "run" not in profile.headed) or "run" not in profile.seen:
        out.cut("the operator table of the regular runs")
    generation = {"text": "tf2", "padded": "litert-capi"}.get(profile.layout, profile.layout)
    return RuntimeLog(
        tool=tool,
        generation=generation,
        profiled=profile.profiled,
        ops=tuple(profile.ops),
        left_out=tuple(dict.fromkeys(profile.left_out)),
    )
