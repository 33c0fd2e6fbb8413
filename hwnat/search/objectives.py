"""Objectives and limits of a search, parsed once and computed exactly."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.cost import op_cost, total_cost
from hwnat.records.space import MAX_BLOCK, MIN_BLOCK, Genomes, Space

Floats = npt.NDArray[np.float64]
#: (n, genes) canonical genomes -> (n,) nanoseconds.
LatencyNs = Callable[[Genomes], Floats]
Kind = Literal["error", "latency", "params", "macs", "file_bytes"]

#: Suffix of the number in a limit -> its factor.
_COUNTS: Final = {"": 1, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS: Final[dict[Kind, dict[str, float]]] = {
    "error": {"": 1, "%": 1},
    "latency": {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9},
    "params": _COUNTS,
    "macs": _COUNTS,
    "file_bytes": {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9},
}
#: Kind of objective -> the unit in which its values are shown.
_SHOWN: Final[dict[Kind, str]] = {
    "error": "%",
    "latency": "ms",
    "params": "M",
    "macs": "M",
    "file_bytes": "MB",
}
_WORDS: Final[dict[str, Kind]] = {
    "accuracy": "error",
    "error": "error",
    "params": "params",
    "macs": "macs",
    "size": "file_bytes",
}
_COUNTED: Final[tuple[Kind, ...]] = ("params", "macs", "file_bytes")
_BYTES_PER_WEIGHT: Final = 4
#: The reference point is the largest network's cost times this, so that this network counts too.
_BEYOND: Final = 1.01
_LIMIT_EXAMPLES: Final = "latency@TABLE<=2ms, params<=1M, macs<=50M, size<=4MB or error<=5%"
_NUMBER: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-zµ%]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One column of costs, minimised.

    Attributes:
        kind: error (top-1, in percent), latency (ns on `table`), params and macs (counts), or
            file_bytes: 4 bytes per weight after folding batch norms, as in an fp32 file, without
            the few kB of the graph.
        table: path of the latency table; only for latency.
    """

    kind: Kind
    table: str = ""

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Parse accuracy, error, params, macs, size or latency@TABLE.

        Raises:
            UsageError: the text is none of these.
        """
        word, at, table = text.strip().partition("@")
        if word == "latency" and table:
            return cls(kind="latency", table=table)
        if word not in _WORDS or at:
            msg = (
                f"Unknown objective '{text}'. "
                f"Write one of {', '.join(_WORDS)} or latency@TABLE, TABLE being a file."
            )
            raise UsageError(msg)
        return cls(kind=_WORDS[word])

    @property
    def name(self) -> str:
        """The name of the column, such as error or latency@table.json."""
        return f"{self.kind}@{self.table}" if self.table else self.kind

    def show(self, value: float) -> str:
        """Format `value` for people, with its unit.

        >>> Objective.parse("latency@t.json").show(1_940_000)
        '1.94 ms'
        """
        unit = _SHOWN[self.kind]
        return f"{value / _UNITS[self.kind][unit]:.4g} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A cost that must not exceed `at_most`, in the unit of the objective's column."""

    objective: Objective
    at_most: float

    def __post_init__(self) -> None:
        if not 0 < self.at_most < np.inf:
            msg = f"Limit {self.objective.name}: {self.at_most} is not above zero."
            raise UsageError(msg)

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Parse a limit with its unit, such as latency@TABLE<=2ms.

        Raises:
            UsageError: the form is wrong, or the unit is for another quantity.
        """
        left, sign, right = text.rpartition("<=")
        number = _NUMBER.fullmatch(right.strip())
        if not sign or left.strip() == "accuracy" or number is None:
            msg = f"Cannot read limit '{text}'. Write for example {_LIMIT_EXAMPLES}."
            raise UsageError(msg)
        objective = Objective.parse(left)
        units = _UNITS[objective.kind]
        if number[2] not in units:
            known = ", ".join(unit or "no unit" for unit in units)
            msg = (
                f"Limit '{text}': {objective.kind} is given with {known}. "
                f"Write for example {_LIMIT_EXAMPLES}."
            )
            raise UsageError(msg)
        return cls(objective=objective, at_most=float(number[1]) * units[number[2]])

    @property
    def text(self) -> str:
        """The limit for people, with four digits; `parse` accepts it."""
        return self.text_for(self.at_most)

    def text_for(self, at_most: float) -> str:
        """Format the same limit with another bound."""
        word = {"file_bytes": "size"}.get(self.objective.kind, self.objective.name)
        return f"{word}<={self.objective.show(at_most).replace(' ', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Exact costs of genomes; a call with genomes and errors returns the objectives.

    Attributes:
        fixed: (resolutions, widths, 3) params, macs and folded params outside the blocks.
        blocks: (resolutions, widths, slots, block genes, 3) the same for each block.
        latency: table path -> function of canonical genomes.
    """

    space: Space
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    fixed: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    latency: Mapping[str, LatencyNs]

    def __post_init__(self) -> None:
        require_objectives(self.objectives)
        for objective in (*self.objectives, *(limit.objective for limit in self.limits)):
            if objective.kind == "latency" and objective.table not in self.latency:
                msg = f"No predictor was loaded for {objective.name}."
                raise UsageError(msg)

    @classmethod
    def build(
        cls,
        *,
        space: Space,
        classes: int,
        objectives: Sequence[Objective],
        limits: Sequence[Limit] = (),
        latency: Mapping[str, LatencyNs] | None = None,
    ) -> "CostModel":
        """Trace each block of `space` once.

        Raises:
            UsageError: there is no objective, one occurs twice, or a latency has no predictor.
        """
        fixed, blocks = _trace_blocks(space, classes)
        return cls(
            space=space,
            objectives=tuple(objectives),
            limits=tuple(limits),
            fixed=fixed,
            blocks=blocks,
            latency=dict(latency or {}),
        )

    def counts(self, genomes: Genomes) -> npt.NDArray[np.int64]:
        """Return (n, 3) params, macs and file bytes of (n, genes) canonical genomes."""
        at = genomes[:, 0], genomes[:, 1]
        slots = np.arange(self.blocks.shape[2])
        rows = self.blocks[at[0][:, None], at[1][:, None], slots, genomes[:, 2:]]
        return np.asarray((self.fixed[at] + rows.sum(axis=1)) * (1, 1, _BYTES_PER_WEIGHT))

    def __call__(self, genomes: Genomes, errors: npt.ArrayLike) -> Floats:
        """Return (n, objectives) costs, every column minimised.

        Args:
            genomes: (n, genes) canonical.
            errors: (n,) top-1 errors in percent, measured or predicted.
        """
        return self._columns(self.objectives, genomes, errors)

    def violations(self, genomes: Genomes, errors: npt.ArrayLike) -> Floats:
        """Return (n, limits) relative excess, value / limit - 1; at most 0 within the limit."""
        values = self._columns([limit.objective for limit in self.limits], genomes, errors)
        return np.asarray(values / [limit.at_most for limit in self.limits] - 1.0)

    def reference(self, error_percent: float, largest: npt.ArrayLike) -> Floats:
        """Return the (objectives,) reference point: this error and the costs of this network.

        Args:
            error_percent: worst error that counts.
            largest: genome of the largest network that may be chosen.

        Source: NAT's reference is 1 % beyond the worst values, so that the extremes count.
        """
        return np.asarray(self(np.array([largest]), [error_percent])[0] * _BEYOND)

    def _columns(
        self, objectives: Sequence[Objective], genomes: Genomes, errors: npt.ArrayLike
    ) -> Floats:
        rows = np.asarray(genomes, dtype=np.int64)
        columns = np.empty((len(rows), len(objectives)))
        counts = self.counts(rows)
        for index, objective in enumerate(objectives):
            if objective.kind == "error":
                columns[:, index] = np.asarray(errors, dtype=np.float64)
            elif objective.kind == "latency":
                columns[:, index] = self.latency[objective.table](rows)
            else:
                columns[:, index] = counts[:, _COUNTED.index(objective.kind)]
        return columns


def require_objectives(objectives: Sequence[Objective]) -> None:
    """Refuse an empty list and repeated objectives.

    Raises:
        UsageError: the message lists the objectives.
    """
    if not objectives or len(set(objectives)) != len(objectives):
        names = ", ".join(objective.name for objective in objectives) or "none"
        msg = f"A search needs objectives, each once; got {names}."
        raise UsageError(msg)


def _trace_blocks(
    space: Space, classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Trace networks made of one kind of block; at each width and resolution, slots add up.

    They add up because the input of a block depends only on its stage, not on earlier blocks.
    """
    resolutions, slots = len(space.resolutions), space.genes - 2
    widths = max(gene for gene, _ in space.skeletons) + 1
    fixed = np.zeros((resolutions, widths, len(_COUNTED)), dtype=np.int64)
    blocks = np.zeros((resolutions, widths, slots, MAX_BLOCK + 1, len(_COUNTED)), dtype=np.int64)
    for resolution in range(resolutions):
        for width, _ in space.skeletons:
            for block in range(MIN_BLOCK, MAX_BLOCK + 1):
                arch = Arch(space=space, genome=(resolution, width, *[block] * slots))
                ops = arch.ops(classes=classes)
                costs = [op_cost(op) for op in ops[2 : 2 + slots]]
                blocks[resolution, width, :, block] = [
                    (cost.params, cost.macs, cost.folded_params) for cost in costs
                ]
                rest = total_cost((*ops[:2], *ops[2 + slots :]))
                fixed[resolution, width] = rest.params, rest.macs, rest.folded_params
    return fixed, blocks
