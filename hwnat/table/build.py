"""Build a table from what a store holds: ratios become nanoseconds here."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

import hwnat
from hwnat.errors import InconclusiveError
from hwnat.records.arch import Arch
from hwnat.records.measurement import Measurement, ProfileRun, lower_quartile
from hwnat.records.space import get_space
from hwnat.records.store import Store
from hwnat.table.calibrate import Calibration, NetworkCheck, calibrate
from hwnat.table.entry import Effort, Entry, Filled, interval_ns
from hwnat.table.lookup import LatencyTable


def build_table(
    store: Store,
    run: ProfileRun,
    *,
    filled: Filled | None = None,
    effort: Effort | None = None,
) -> LatencyTable:
    """Build the table of a finished profile.

    Args:
        store: holds its measurements.
        run: what it set out to measure.
        filled: entries of what was not timed, on the scale of `timed_entries`.
        effort: goes into the table as it is.

    Raises:
        InconclusiveError: something it set out to measure is neither in the store nor filled.
    """
    visits = _visits(store, run)
    measured = [visit for of_subject in visits.values() for visit in of_subject]
    measured.sort(key=lambda visit: visit.started)
    reference_ns = reference_latency_ns(measured) if measured else 0
    timed = timed_entries(store, run) if visits[run.overhead] else {}
    entries = timed | dict(filled.entries if filled else {})
    networks = [run.network(network) for network in (*run.calibration, *run.validation)]
    missing = [key for key in (*run.ops, *run.filled) if key not in entries]
    missing += [key for key in (run.overhead, *networks) if not visits[key]]
    if missing:
        msg = (
            f"{len(missing)} of {len(visits)} models are not measured yet, such as {missing[0]}. "
            f"Go on with: {_command(run)}"
        )
        raise InconclusiveError(msg)
    overhead_ns = entry(visits[run.overhead], reference_ns=reference_ns).p50_ns
    _check_overhead(timed, overhead_ns)
    table = LatencyTable(
        setup=run.setup,
        protocol=run.protocol,
        space=run.space,
        classes=run.classes,
        resolutions=run.resolutions,
        granularity="block",
        reference_ns=reference_ns,
        overhead_ns=overhead_ns,
        entries=entries,
        calibration=Calibration(),
        validation=(),
        conditions=(measured[0].before, measured[-1].after),
        hwnat=hwnat.__version__,
        created=measured[-1].ended,
        sources=filled.sources if filled else (),
        models=filled.models if filled else (),
        effort=effort,
    )
    whole = _Networks(run=run, visits=visits, table=table)
    calibration = whole.calibrate()
    return replace(table, calibration=calibration, validation=whole.validate(calibration))


def _check_overhead(timed: Mapping[str, Entry], overhead_ns: int) -> None:
    """Refuse an overhead that leaves nothing of most operations."""
    nothing = [key for key, timed_entry in timed.items() if timed_entry.p50_ns == 1]
    if 2 * len(nothing) > len(timed):
        msg = (
            f"{len(nothing)} of {len(timed)} operations, such as {nothing[0]}, take no longer than "
            f"starting a run, which was measured as {overhead_ns} ns. Profile again into another "
            "file: run the same `hwnat profile` command with --store FILE."
        )
        raise InconclusiveError(msg)


def _command(run: ProfileRun) -> str:
    """Return the command that goes on with a profile; operations of --op are not told apart."""
    options: list[tuple[str, object]] = [("--device", run.setup.device), ("--space", run.space)]
    options += [("--resolution", size) for size in run.resolutions]
    options += [("--classes", run.classes), ("--batch", run.setup.batch), ("--seed", run.seed)]
    options += [("--calibration", len(run.calibration)), ("--validation", len(run.validation))]
    options += [("--rounds", run.protocol.rounds)]
    options += [("--budget", len(run.ops))] if run.filled else []
    options += [("--target-error", run.target_error)] if run.target_error is not None else []
    options += [("--from", ",".join(run.sources))] if run.sources else []
    return shlex.join(["hwnat", "profile", *(str(word) for pair in options for word in pair)])


def timed_entries(store: Store, run: ProfileRun) -> dict[str, Entry]:
    """Return the entries of the operations timed so far, in the order of the plan.

    Raises:
        InconclusiveError: the cost of starting a run is not measured yet.
    """
    visits = _visits(store, run)
    if not visits[run.overhead]:
        msg = f"{run.overhead}, the cost of starting a run, is not measured yet; profile first."
        raise InconclusiveError(msg)
    reference_ns = reference_latency_ns(
        [visit for of_subject in visits.values() for visit in of_subject]
    )
    overhead_ns = entry(visits[run.overhead], reference_ns=reference_ns).p50_ns
    return {
        key: entry(visits[key], reference_ns=reference_ns, less_ns=overhead_ns)
        for key in run.ops
        if visits[key]
    }


def _visits(store: Store, run: ProfileRun) -> dict[str, list[Measurement]]:
    """Return what was measured of each subject, in order of time."""
    visits: dict[str, list[Measurement]] = {subject: [] for subject in run.subjects}
    for visit in store.measurements(run.setup.id, run.subjects):
        visits[visit.subject].append(visit)
    return visits


def reference_latency_ns(measurements: Sequence[Measurement]) -> int:
    """Return the long-run median of the reference model: over visits, of their quartiles."""
    return round(median(lower_quartile(visit.reference_ns) for visit in measurements))


def entry(visits: Sequence[Measurement], *, reference_ns: int, less_ns: int = 0) -> Entry:
    """Summarise the visits to one model, less `less_ns` but at least 1 ns."""
    ratios = [visit.ratio for visit in visits]
    runs = np.concatenate(
        [np.asarray(visit.samples_ns) / lower_quartile(visit.reference_ns) for visit in visits]
    )
    low, middle, high = map(float, np.quantile(ratios, [0.25, 0.5, 0.75]))
    p10, p90 = map(float, np.quantile(runs, [0.1, 0.9]))
    p50_ns = max(1, round(middle * reference_ns) - less_ns)
    # What is subtracted takes nothing of the uncertainty away.
    spread = (high - low) / middle
    below, above = interval_ns(p50_ns + less_ns, spread, len(visits))
    return Entry(
        low_ns=max(1, min(p50_ns, below - less_ns)),
        high_ns=max(p50_ns, above - less_ns),
        p10_ns=max(1, min(p50_ns, round(p10 * reference_ns) - less_ns)),
        p50_ns=p50_ns,
        p90_ns=max(p50_ns, round(p90 * reference_ns) - less_ns),
        n=len(runs),
        spread=round(spread, 4),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Networks:
    """The whole networks of a profile beside the sums of their blocks."""

    run: ProfileRun
    visits: Mapping[str, Sequence[Measurement]]
    table: LatencyTable

    def _sum(self, genome: str) -> tuple[int, int]:
        """Return overhead plus entries, and the number of blocks of a network."""
        arch = Arch.from_text(get_space(self.run.space), genome)
        ops = arch.ops(classes=self.run.classes, batch=self.run.setup.batch)
        return self.table.sum_ns(op.key for op in ops), len(ops)

    def _measured_ns(self, genome: str) -> int:
        visits = self.visits[self.run.network(genome)]
        return entry(visits, reference_ns=self.table.timed_as()[1]).p50_ns

    def calibrate(self) -> Calibration:
        genomes = self.run.calibration
        sums = [self._sum(genome) for genome in genomes]
        measured = [self._measured_ns(genome) for genome in genomes]
        return calibrate(genomes, [s for s, _ in sums], [n for _, n in sums], measured)

    def validate(self, calibration: Calibration) -> tuple[NetworkCheck, ...]:
        checks = []
        for genome in self.run.validation:
            sum_ns, ops = self._sum(genome)
            measured_ns = self._measured_ns(genome)
            checks.append(
                calibration.check(genome, sum_ns=sum_ns, ops=ops, measured_ns=measured_ns)
            )
        return tuple(checks)
