"""What a runner on a device printed, as records: integers of nanoseconds, bytes and cycles."""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Final, Literal

from hwnat.errors import DataError

#: Where a row of an operator table comes from. `delegate` and `subgraph` rows may repeat time
#: that a row of `run` holds already, so the tables must never be added up together.
OpTable = Literal["init", "run", "delegate", "subgraph"]
Extent = Literal["full", "partial", "none"]

#: Tools print averages to six significant digits, extremes as integers.
ROUNDING: Final = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A tool's own summary of so many runs; None is what it did not print.

    Attributes:
        std_ns: standard deviation; 0 where it is below what the tool prints.
    """

    count: int | None = None
    min_ns: int | None = None
    avg_ns: int | None = None
    median_ns: int | None = None
    p95_ns: int | None = None
    max_ns: int | None = None
    std_ns: int | None = None

    def __post_init__(self) -> None:
        if self.avg_ns is None and self.median_ns is None:
            msg = "a timing states neither an average nor a median."
            raise DataError(msg)
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value < (field.name != "std_ns"):
                msg = f"{field.name} is {value}; a time that was measured is above zero."
                raise DataError(msg)
        self._check_order()

    def _check_order(self) -> None:
        """Refuse a summary whose numbers cannot all be of the same runs."""
        chains = (
            ("min_ns", "median_ns", "p95_ns", "max_ns"),
            ("min_ns", "avg_ns", "max_ns"),
        )
        for chain in chains:
            known = [(name, getattr(self, name)) for name in chain]
            known = [(name, value) for name, value in known if value is not None]
            for (low, smaller), (high, larger) in pairwise(known):
                if smaller > larger * (1 + ROUNDING):
                    msg = f"{low} = {smaller} is above {high} = {larger}."
                    raise DataError(msg)
        if None in (self.std_ns, self.min_ns, self.max_ns):
            return
        spread = self.max_ns - self.min_ns  # type: ignore[operator]
        if self.std_ns > spread + self.max_ns * ROUNDING + 10_000:  # type: ignore[operator]
            msg = f"std_ns = {self.std_ns} is above max - min = {spread}."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTime:
    """One row of an operator table.

    Attributes:
        table_name: of the subgraph or delegate, where the tool names it.
        avg_ns: of one call; None where the tool printed 0, which is below its resolution, and
            where it prints cycles.
        percent: of the table's total.
        times_called: as the tool counts: per inference, or over all of them.
        cycles: of one inference; None where the tool printed 0: fused into a neighbour, or run
            where the tool counts no cycles.
        place: CPU, NPU or the kernel that ran, where the tool says so.
    """

    table: OpTable
    node_type: str
    name: str
    table_name: str | None = None
    avg_ns: int | None = None
    percent: float | None = None
    times_called: int | None = None
    cycles: int | None = None
    place: str | None = None

    def __post_init__(self) -> None:
        for what in ("avg_ns", "times_called", "cycles"):
            value = getattr(self, what)
            if value is not None and value <= 0:
                msg = f"operator {self.name}: {what} is {value}, not above zero."
                raise DataError(msg)
        if self.percent is not None and not 0 <= self.percent <= 100 * (1 + ROUNDING):
            msg = f"operator {self.name}: {self.percent} % of the whole."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What a delegate or an accelerator took of the network, in the tool's own words.

    Attributes:
        name: of the delegate; where a tool was offered several, joined by `|`.
        kernels: how many delegate kernels the network was cut into.
        cpu_operators: left on the CPU; `cpu_percent` of all operators.
    """

    name: str
    extent: Extent
    kernels: int | None = None
    cpu_operators: int | None = None
    cpu_percent: float | None = None

    def __post_init__(self) -> None:
        if self.extent == "full" and self.cpu_operators:
            msg = f"{self.name}: {self.cpu_operators} operators on the CPU, yet all delegated."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a compiler or simulator computed; never to be taken for a measurement.

    Attributes:
        clock_hz: None where the tool counts cycles only; then `latency_ns` is None too.
    """

    cycles: int
    clock_hz: int | None = None
    latency_ns: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0:
                msg = f"estimate: {field.name} is {value}, not above zero."
                raise DataError(msg)
        if (self.clock_hz is None) != (self.latency_ns is None):
            msg = "estimate: a latency needs a clock, and the other way round."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeLog:
    """Everything one run of one runner on one model printed.

    Attributes:
        tool: which runner; `generation` which of its output formats.
        device: what an estimate is for, and its system configuration.
        inference: the timed runs; None for logs that hold a profile or an estimate only.
        warmup: the runs before them.
        profiled: the operators' sum per run while they were profiled, which slows them down.
        init_ns: loading the model and preparing it.
        first_ns: the first inference of the process.
        ops: rows of all operator tables, in the order printed.
        init_memory_bytes: grown while the model was prepared; `overall_memory_bytes` until the
            end; `peak_memory_bytes` is the process's highest.
        left_out: parts of the output that are in no field.
    """

    tool: str
    generation: str
    device: str | None = None
    inference: Timing | None = None
    warmup: Timing | None = None
    profiled: Timing | None = None
    init_ns: int | None = None
    first_ns: int | None = None
    ops: tuple[OpTime, ...] = ()
    delegates: tuple[Delegation, ...] = ()
    estimate: Estimate | None = None
    init_memory_bytes: int | None = None
    overall_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.inference is None and self.estimate is None and not self.ops:
            msg = f"{self.tool}: nothing that was timed or estimated."
            raise DataError(msg)
        for what in ("init_ns", "first_ns", "peak_memory_bytes"):
            value = getattr(self, what)
            if value is not None and value <= 0:
                msg = f"{self.tool}: {what} is {value}, not above zero."
                raise DataError(msg)
