"""Break down a table's time by stage of a space's networks, or by kind of operator."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from xml.sax.saxutils import escape

import numpy as np

from hwnat.records.arch import Arch
from hwnat.records.space import get_space
from hwnat.table.lookup import LatencyTable

#: Networks drawn to find the median one.
_NETWORKS: Final = 101
_COLOURS: Final = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#bbbbbb"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The time of one network, or of all operators of a table, by part.

    Attributes:
        name: name of the network or of the set of operators.
        parts: ns by stage or kind; their sum is uncalibrated.
        latency_ns: the calibrated latency; None if this is not a network.
    """

    name: str
    parts: Mapping[str, int]
    latency_ns: float | None = None

    @property
    def total_ns(self) -> int:
        """The sum of the parts, before calibration."""
        return sum(self.parts.values())


def by_stage(table: LatencyTable) -> tuple[Breakdown, ...]:
    """Break down the smallest, the median and the largest network of a space's table.

    The median network has the median latency of random networks at the table's resolutions. A
    table of operators gives one breakdown by kind, largest first, and counts each entry once.

    Raises:
        UncoveredOpError: a network needs an operation that has no entry.
    """
    if table.space is None or table.classes is None:
        return (_by_kind(table),)
    # A published table may cover resolutions that this package's space does not list.
    space = replace(get_space(table.space), resolutions=table.resolutions)
    drawn = space.sample(_NETWORKS, rng=np.random.default_rng(0))
    archs = [Arch(space=space, genome=tuple(genome)) for genome in drawn.tolist()]
    drawn_networks = [_network(table, arch, name="median") for arch in archs]
    middle = sorted(drawn_networks, key=lambda breakdown: breakdown.total_ns)[_NETWORKS // 2]
    small, large = (Arch(space=space, genome=g) for g in (space.smallest(), space.largest()))
    return (
        _network(table, small, name="smallest"),
        middle,
        _network(table, large, name="largest"),
    )


def _network(table: LatencyTable, arch: Arch, *, name: str) -> Breakdown:
    """Break down one network: the stem with the first block, stages, head and start of a run."""
    ops = arch.ops(classes=table.classes or 0, batch=table.setup.batch)
    costs = [table.lookup(op.key).p50_ns for op in ops]
    parts, begin = {"stem": sum(costs[:2])}, 2
    for number, blocks in enumerate(arch.stages, 1):
        parts[f"stage {number}"] = sum(costs[begin : begin + len(blocks)])
        begin += len(blocks)
    parts["head"] = sum(costs[begin:])
    if table.overhead_ns:
        parts["starting a run"] = table.overhead_ns
    total = sum(parts.values())
    return Breakdown(
        name=f"{name}, {arch.resolution} pixels",
        parts=parts,
        latency_ns=float(table.calibration.apply(total, len(ops))),
    )


def _by_kind(table: LatencyTable) -> Breakdown:
    parts: dict[str, int] = defaultdict(int)
    for key, entry in table.entries.items():
        parts[key.partition("|")[0]] += entry.p50_ns
    ordered = dict(sorted(parts.items(), key=lambda part: -part[1]))
    return Breakdown(name=f"all {len(table.entries)} entries", parts=ordered)


def svg(title: str, breakdowns: tuple[Breakdown, ...]) -> str:
    """Draw one stacked bar per breakdown, as long as its time; return a whole SVG file."""
    longest = max(breakdown.total_ns for breakdown in breakdowns)
    names = list(dict.fromkeys(name for breakdown in breakdowns for name in breakdown.parts))
    colour = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    rows = [f'<text x="10" y="22" font-size="15">{escape(title)}</text>']
    for i, breakdown in enumerate(breakdowns):
        y, x = 40 + 54 * i, 10.0
        label = f"{breakdown.name}: {breakdown.total_ns / 1e6:.3f} ms"
        rows.append(f'<text x="10" y="{y + 10}">{escape(label)}</text>')
        for name, ns in breakdown.parts.items():
            width = 680 * ns / longest
            tip = f"{name}: {ns / 1e6:.3f} ms, {ns / breakdown.total_ns:.1%}"
            rows.append(
                f'<rect x="{x:.1f}" y="{y + 16}" width="{width:.1f}" height="22" '
                f'fill="{colour[name]}"><title>{escape(tip)}</title></rect>'
            )
            x += width
    below = 40 + 54 * len(breakdowns)
    for i, name in enumerate(names):
        x, y = 10 + 170 * (i % 4), below + 20 * (i // 4)
        rows.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour[name]}"/>')
        rows.append(f'<text x="{x + 18}" y="{y + 10}">{escape(name)}</text>')
    height = below + 20 * ((len(names) + 3) // 4) + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 {height}" '
    head += 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, *rows, "</svg>"]) + "\n"
