"""ONNX Runtime's `onnxruntime_perf_test`."""

from typing import Final

from hwnat.device.runners.logs.output import NUMBER, Output
from hwnat.device.runners.logs.record import RuntimeLog, Timing

TOOL: Final = "onnxruntime_perf_test"


def read(out: Output) -> RuntimeLog:
    """Read the printed text; complete with the line `P999 Latency`, its last.

    Raises:
        DataError: it is incomplete, or its total, number and average do not fit.
    """
    lines = out.lines

    def seconds(label: str) -> int:
        return out.ns(out.match_one(rf"{label}: ?({NUMBER}) s", lines, label)[1], "s", label)

    def integer(label: str) -> int:
        return out.count(out.match_one(rf"{label}: ?(\d+)", lines, label)[1], label)

    seconds("P999 Latency")
    count = integer("Total inference requests")
    if integer("Runs") != count:
        out.wrong(f"{count} inference requests, but another number of runs")
    average_ns = _average_ns(out, lines)
    total_ns = seconds("Total inference time cost")
    out.agree(total_ns / count, average_ns, "the average", within=2e-5)
    chain = [seconds(f"{name} Latency") for name in ("P50", "P90", "P95", "P99", "P999", "Max")]
    if chain != sorted(chain):
        out.wrong("its percentiles are not in rising order")
    timing = Timing(count=count, min_ns=seconds("Min Latency"), avg_ns=average_ns,
                    median_ns=chain[0], p95_ns=chain[2], max_ns=chain[-1])  # fmt: skip
    # In whole milliseconds: 0 is an inference quicker than one.
    first = out.match_any(r"First inference time cost: ?(\d+) ms", lines, "First inference")
    peak = out.match_any(r"Peak working set size: (\d+) bytes", lines, "Peak working set")
    return RuntimeLog(
        tool=TOOL,
        generation="text" if first else "text-old",
        inference=timing,
        init_ns=seconds("Session creation time cost"),
        first_ns=first and out.ns_or_none(first[1], "ms", "First inference"),
        peak_memory_bytes=peak and out.size(peak[1], "bytes", "Peak working set size"),
        left_out=("percentiles 90, 99 and 99.9",),
    )


def _average_ns(out: Output, lines: list[str]) -> int:
    label = "Average inference time cost"
    printed = out.match_one(rf"{label}(?: total)?: ?({NUMBER}) ms", lines, label)[1]
    return out.ns(printed, "ms", label)
