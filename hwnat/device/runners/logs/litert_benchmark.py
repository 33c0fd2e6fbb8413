"""The JSON report of `litert-benchmark --result_json`."""

from collections.abc import Mapping
from typing import Any, Final

from hwnat.device.runners.logs.output import Output, runner_output
from hwnat.device.runners.logs.record import Delegation, ModelLog, Runs
from hwnat.records.parse import strict_json

TOOL: Final = "litert-benchmark"


def read_litert_benchmark(raw: str, *, where: str) -> ModelLog:
    """Read a report.

    Args:
        raw: the printed JSON, complete.
        where: the device, for messages.

    Raises:
        DeviceError: the program reports a failure.
        DataError: the report is incomplete or contradicts itself.
    """
    with runner_output(raw, tool=TOOL, where=where) as out:
        report = strict_json(out.text, where=where)
        if not isinstance(report, Mapping) or not isinstance(report.get("latency"), Mapping):
            out.wrong("it has no table 'latency'")
        return _read(out, report, report["latency"])


def _read(out: Output, report: Mapping[str, Any], latency: Mapping[str, Any]) -> ModelLog:
    def number(key: str) -> str:
        return _digits(out, latency, key)

    def ns(key: str) -> int:
        return out.ns(number(key), "ms", key)

    warmed = out.count(number("num_warmup_runs"), "num_warmup_runs", least=0)
    return ModelLog(
        inference=Runs(
            count=out.count(number("num_runs"), "num_runs"),
            min_ns=ns("min_ms"),
            avg_ns=ns("avg_ms"),
            median_ns=ns("median_ms"),
            p95_ns=ns("p95_ms"),
            max_ns=ns("max_ms"),
            std_ns=out.ns_or_none(number("std_ms"), "ms", "std_ms") or 0,
        ),
        warmup=Runs(count=warmed, avg_ns=ns("warmup_avg_ms")) if warmed else None,
        init_ns=ns("init_ms"),
        first_ns=ns("warmup_first_ms") if warmed else None,
        delegates=_accelerators(out, report),
    )


def _digits(out: Output, latency: Mapping[str, Any], key: str) -> str:
    """Return a number from the report as plain digits."""
    if key not in latency:
        out.cut(f"its key 'latency: {key}'")
    value = latency[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        out.wrong(f"latency: {key} is {value!r:.40}")
    return str(value) if isinstance(value, int) else format(value, "f")


def _accelerators(out: Output, report: Mapping[str, Any]) -> tuple[Delegation, ...]:
    """Return the available accelerators; the report does not say which of them ran."""
    names, fully = report.get("accelerators"), report.get("fully_accelerated")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        out.wrong("'accelerators' is not a list of names")
    if not isinstance(fully, bool):
        out.wrong("'fully_accelerated' is neither true nor false")
    return (Delegation(name="|".join(names), extent="full" if fully else "partial"),)
