"""The traps of published latency tables, one function each.

A rule returns its findings, or the reason why it does not apply to the tables.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from math import log10
from statistics import median
from typing import Final

from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec
from hwnat.table.entry import Entry
from hwnat.table.importers.base import Finding, NetworkTotal, Severity
from hwnat.table.importers.values import IQR
from hwnat.table.subject import Subject

Outcome = list[Finding] | str

#: Above this ratio of standard deviation to mean a measurement says little.
_MAX_STD: Final = 0.2
#: MACs per ns, that is 1e9 MACs/s, of a table's median entry: from a microcontroller with vector
#: instructions to an accelerator at batch 1, with room on both sides.
_RATES: Final = (0.05, 1_000.0)
#: So many times off is a unit, not a device.
_UNIT_FACTOR: Final = 300.0
#: Entries with fewer MACs are mostly the cost of starting them.
_MIN_MACS: Final = 100_000
#: Without intervals, a cost has to fall by this much: processes differ by 9-16 %.
_DROP: Final = 0.1
#: Agreement with a sum that no device repeats to, and that three networks do not reach by chance.
_TOO_GOOD: Final = 1e-3
_MS: Final = 1_000_000
#: Kinds whose widths follow from other operands, or are no work.
_NARROW: Final = ("concat", "move")


def rounded(subjects: Sequence[Subject]) -> Outcome:
    """Times rounded to whole milliseconds."""
    findings = []
    for subject in subjects:
        whole = [key for key, entry in subject.entries.items() if entry.p50_ns % _MS == 0]
        if len(whole) >= 3 and 2 * len(whole) >= len(subject.entries):
            message = (
                f"{len(whole)} of {len(subject.entries)} entries are whole milliseconds: rounding "
                "hides the differences between blocks; get the unrounded times"
            )
            findings.append(_finding("rounded", "error", subject, whole[0], message))
        totals = [net for net in subject.networks if net.measured_ns % _MS == 0]
        if len(totals) >= 3 and len(totals) == len(subject.networks):
            message = (
                f"all {len(totals)} network latencies are whole milliseconds: errors below 1 % "
                "cannot be told apart"
            )
            findings.append(_finding("rounded", "warning", subject, "", message))
    return findings


def noisy(subjects: Sequence[Subject]) -> Outcome:
    """Standard deviation above a fifth of the mean, of entries and of networks."""
    findings, applied = [], False
    for subject in subjects:
        ratios = {key: entry.spread / IQR for key, entry in subject.entries.items()}
        ratios |= {net.name: net.std_ns / net.measured_ns for net in subject.networks}
        applied = applied or any(ratios.values())
        for key, ratio in ratios.items():
            if ratio > _MAX_STD:
                message = (
                    f"standard deviation {ratio:.0%} of the mean, over {_MAX_STD:.0%}: "
                    "measure it again before relying on it"
                )
                findings.append(_finding("noisy", "warning", subject, key, message))
    return findings if applied else "no entry has a spread"


def wrong_unit(subjects: Sequence[Subject]) -> Outcome:
    """Throughput that no device reaches, or that differs from the table's own by a unit."""
    findings: list[Finding] = []
    applied = False
    for subject in subjects:
        rates = _rates(subject)
        if len(rates) < 3:
            continue
        applied = True
        middle = median(rates.values())
        if not _RATES[0] <= middle <= _RATES[1]:
            key = min(rates, key=lambda key: abs(log10(rates[key] / middle)))
            message = (
                f"the median of {len(rates)} entries runs {middle:.3g} billion MACs/s, outside "
                f"{_RATES[0]:g} to {_RATES[1]:g}: check the unit and give it with --unit"
            )
            findings.append(_finding("wrong-unit", "error", subject, key, message))
        findings += _odd_units(subject, rates)
    return findings if applied else f"no table has three entries of {_MIN_MACS:,} MACs or more"


def _rates(subject: Subject) -> dict[str, float]:
    """MACs per ns of the entries that have enough of them."""
    known = {key: op for key, op in subject.ops.items() if op.kind != "opaque"}
    macs = {key: op_cost(op).macs for key, op in known.items()}
    return {
        key: count / subject.entries[key].p50_ns
        for key, count in macs.items()
        if count >= _MIN_MACS
    }


def _odd_units(subject: Subject, rates: Mapping[str, float]) -> Iterator[Finding]:
    by_kind = defaultdict(list)
    for key, rate in rates.items():
        by_kind[key.partition("|")[0]].append(rate)
    middles = {kind: median(of_kind) for kind, of_kind in by_kind.items()}
    for key, rate in rates.items():
        middle = middles[key.partition("|")[0]]
        if not 1 / _UNIT_FACTOR < rate / middle < _UNIT_FACTOR:
            message = (
                f"{rate:.3g} billion MACs/s, {rate / middle:.3g} times the median of its kind: "
                "the entry is in another unit; convert it"
            )
            yield _finding("wrong-unit", "error", subject, key, message)


def unit_against(subjects: Sequence[Subject]) -> Outcome:
    """A factor near 1000 between two tables."""
    findings, applied = [], False
    for one, other in combinations(subjects, 2):
        common = [key for key in one.entries if key in other.entries]
        if len(common) < 3:
            continue
        applied = True
        ratio = median(one.entries[key].p50_ns / other.entries[key].p50_ns for key in common)
        if not 1 / _UNIT_FACTOR < ratio < _UNIT_FACTOR:
            message = (
                f"{len(common)} operations take {ratio:.3g} times as long as in {other.name} "
                "(median): one of the tables is in another unit; convert it"
            )
            findings.append(_finding("wrong-unit", "error", one, common[0], message))
    return findings if applied else "needs two tables with three operations in common"


def copied(subjects: Sequence[Subject]) -> Outcome:
    """Entries that two devices' tables have in common to the nanosecond."""
    findings, applied = [], False
    for one, other in combinations(subjects, 2):
        common = [key for key in one.entries if key in other.entries]
        if one.device == other.device or not common:
            continue
        applied = True
        equal = [k for k in common if one.entries[k].p50_ns == other.entries[k].p50_ns]
        step = max(_resolution(subject.entries.values()) for subject in (one, other))
        # Two devices' values a tenth apart fall on the same step as often as this.
        chance = sum(min(1.0, 10 * step / one.entries[key].p50_ns) for key in common)
        if len(equal) >= 2 and len(equal) > 5 * chance:
            message = (
                f"{len(equal)} of {len(common)} entries have exactly the value they have in "
                f"{other.name}: they were copied; measure them on {one.device} or remove them"
            )
            findings.append(_finding("copied", "error", one, equal[0], message))
    return findings if applied else "needs tables of two devices with operations in common"


def _resolution(entries: Iterable[Entry]) -> int:
    """Largest power of ten, in ns, that divides nine of ten entries."""
    values = [entry.p50_ns for entry in entries]
    step = 1
    while step < _MS and 10 * sum(ns % (10 * step) == 0 for ns in values) >= 9 * len(values):
        step *= 10
    return step


def falls(subjects: Sequence[Subject]) -> Outcome:
    """Cost that falls as a kernel or a width grows, beyond both intervals; the largest first."""
    findings: list[tuple[float, Finding]] = []
    applied = False
    for subject in subjects:
        for axis, rows in _families(subject.ops):
            applied = True
            for (small, small_key), (large, large_key) in pairwise(sorted(rows)):
                before, after = subject.entries[small_key], subject.entries[large_key]
                floor = 0.0 if before.low_ns < before.high_ns else _DROP
                if small == large or after.high_ns >= before.low_ns * (1 - floor):
                    continue
                message = (
                    f"{axis} {large} costs {after.p50_ns / 1e6:.4g} ms, {axis} {small} costs "
                    f"{before.p50_ns / 1e6:.4g} ms, beyond both intervals: measure both again, "
                    "or check which kernels run"
                )
                finding = _finding("falls", "warning", subject, large_key, message)
                findings.append((after.p50_ns / before.p50_ns, finding))
    if not applied:
        return "no two operations differ in a kernel or a width alone"
    return [finding for _, finding in sorted(findings, key=lambda ranked: ranked[0])]


Rows = list[tuple[int, str]]


def _families(ops: Mapping[str, OpSpec]) -> Iterator[tuple[str, Rows]]:
    """Yield families of operations that differ along one axis: (size, key) each."""
    families: dict[tuple[object, ...], Rows] = defaultdict(list)
    for key, op in ops.items():
        if op.kind == "opaque":
            continue
        batch, height, width, channels = op.in_shape
        rest = (op.kind, batch, op.stride, op.act, op.residual, op.groups, op.dilation, op.tail)
        place = (*rest, height, width, op.out_hw, op.mode, op.operands, op.kernel_w, op.dtype)
        block = (op.mid_channels, op.se_channels)
        axes: list[tuple[str, int, tuple[object, ...]]] = [
            ("kernel", op.kernel, (channels, op.out_channels, *block))
        ]
        if op.mid_channels:
            squeezed = op.se_channels > 0
            others = (channels, op.out_channels, op.kernel, squeezed)
            axes.append(("expanded width", op.mid_channels, others))
        if op.kind == "dwconv":
            axes.append(("width", channels, (op.out_channels // channels, op.kernel)))
        elif op.out_channels and op.kind not in _NARROW:
            # A block of equal widths may spare a projection beside it.
            equal = channels == op.out_channels
            axes.append(("output width", op.out_channels, (channels, equal, op.kernel, *block)))
            if not op.mid_channels:
                axes.append(("input width", channels, (op.out_channels, op.kernel)))
        for axis, size, fixed in axes:
            families[(axis, *place, *fixed)].append((size, key))
    for family, rows in families.items():
        if len({size for size, _ in rows}) > 1:
            yield str(family[0]), rows


def total_is_sum(subjects: Sequence[Subject]) -> Outcome:
    """Network latencies that are sums of entries and not measurements."""
    findings, applied = [], False
    for subject in subjects:
        sums = {net: _sum_ns(subject, net) for net in subject.networks}
        gaps = {
            net.name: abs(total - net.measured_ns) / net.measured_ns
            for net, total in sums.items()
            if total is not None
        }
        applied = applied or bool(gaps)
        exact = [name for name, gap in gaps.items() if gap < 1e-7]
        all_near = len(gaps) >= 3 and max(gaps.values()) < _TOO_GOOD
        for name in exact or (list(gaps) if all_near else []):
            message = (
                f"its latency equals the sum of the table's entries within {gaps[name]:.1g}, so "
                "it was not measured; do not calibrate or score on it"
            )
            findings.append(_finding("total-is-sum", "error", subject, name, message))
    return findings if applied else "needs networks whose operations all have entries (--network)"


def _sum_ns(subject: Subject, net: NetworkTotal) -> int | None:
    """Return the sum of a network's rows, or of its entries; None if it is not known."""
    if net.sum_ns:
        return net.sum_ns
    if net.unmapped or any(key not in subject.entries for key in net.keys):
        return None
    return subject.overhead_ns + sum(subject.entries[key].p50_ns for key in net.keys)


def missing(subjects: Sequence[Subject]) -> Outcome:
    """Networks, or a whole space, whose own operations have no entry."""
    findings, applied = [], False
    for subject in subjects:
        for net in (*subject.networks, *subject.named):
            applied = True
            absent = [*(key for key in net.keys if key not in subject.entries), *net.unmapped]
            if absent:
                message = (
                    f"{len(absent)} of its {len(net.keys) + len(net.unmapped)} operations have no "
                    f"entry, such as {absent[0]}; measure them, or do not use this network"
                )
                severity: Severity = "error" if subject.space else "warning"
                findings.append(_finding("missing-blocks", severity, subject, net.name, message))
        if absent_ops := subject.uncovered():
            message = (
                f"{len(absent_ops)} operations of the space have no entry; networks that use them "
                "cannot be predicted"
            )
            findings.append(_finding("missing-blocks", "warning", subject, absent_ops[0], message))
        applied = applied or subject.space is not None
    return findings if applied else "needs a space, or whole networks (--network)"


def _finding(rule: str, severity: Severity, subject: Subject, key: str, message: str) -> Finding:
    where = subject.places.get(key, subject.name)
    return Finding(rule=rule, severity=severity, where=where, key=key, message=message)


#: Name, function; two rules of one name report alike.
ALL: Final[tuple[tuple[str, Callable[[Sequence[Subject]], Outcome]], ...]] = (
    ("copied", copied),
    ("total-is-sum", total_is_sum),
    ("rounded", rounded),
    ("wrong-unit", wrong_unit),
    ("wrong-unit (two tables)", unit_against),
    ("falls", falls),
    ("missing-blocks", missing),
    ("noisy", noisy),
)
