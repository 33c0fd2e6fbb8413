"""Records of a runner's output for one model, in integer nanoseconds and bytes."""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Final, Literal

from hwnat.errors import DataError

Extent = Literal["full", "partial", "none"]

#: Tools print averages with six significant digits, minimum and maximum as integers.
ROUNDING: Final = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """A program's summary of a series of runs; a value that it does not print is None.

    Attributes:
        std_ns: standard deviation; 0 if below the program's resolution.
    """

    count: int
    min_ns: int | None = None
    avg_ns: int | None = None
    median_ns: int | None = None
    p95_ns: int | None = None
    max_ns: int | None = None
    std_ns: int | None = None

    def __post_init__(self) -> None:
        if self.avg_ns is None and self.median_ns is None:
            msg = "The runs have neither an average nor a median."
            raise DataError(msg)
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value < (field.name != "std_ns"):
                msg = f"{field.name} is {value}; it must be above zero."
                raise DataError(msg)
        self._check_order()

    def _check_order(self) -> None:
        """Raise if the values cannot all describe the same runs."""
        chains = (
            ("min_ns", "median_ns", "p95_ns", "max_ns"),
            ("min_ns", "avg_ns", "max_ns"),
        )
        for chain in chains:
            values = [(name, getattr(self, name)) for name in chain]
            present = [(name, value) for name, value in values if value is not None]
            for (low, smaller), (high, larger) in pairwise(present):
                if smaller > larger * (1 + ROUNDING):
                    msg = f"{low} = {smaller} is above {high} = {larger}."
                    raise DataError(msg)
        if self.std_ns is None or self.min_ns is None or self.max_ns is None:
            return
        spread = self.max_ns - self.min_ns
        if self.std_ns > spread + self.max_ns * ROUNDING + 10_000:
            msg = f"std_ns = {self.std_ns} is above max - min = {spread}."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """How much of the network a delegate or an accelerator ran.

    Attributes:
        name: name of the delegate; several available accelerators are joined by `|`.
        kernels: number of delegate kernels that the network was split into.
        cpu_operators: number of operators that ran on the CPU.
    """

    name: str
    extent: Extent
    kernels: int | None = None
    cpu_operators: int | None = None

    def __post_init__(self) -> None:
        if self.extent == "full" and self.cpu_operators:
            msg = f"{self.name}: fully delegated, yet {self.cpu_operators} operators on the CPU."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLog:
    """The output of one process of a runner for one model.

    Attributes:
        inference: the timed runs.
        warmup: the untimed runs before them; None if there were none.
        init_ns: time to load and prepare the model.
        first_ns: first inference of the process; None without a warm-up.
        init_memory_bytes: memory growth during preparation; None if not printed.
        overall_memory_bytes: memory growth until the end; None if not printed.
        peak_memory_bytes: highest memory use of the process; None if not printed.
    """

    inference: Runs
    warmup: Runs | None
    init_ns: int
    first_ns: int | None
    delegates: tuple[Delegation, ...] = ()
    init_memory_bytes: int | None = None
    overall_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
