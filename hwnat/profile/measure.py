"""Profile a device: export each model once, time it in rounds and commit each visit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hwnat.device.conditions import now
from hwnat.errors import DataError
from hwnat.predict.fill import fill, held_out_error
from hwnat.profile.budget import batches, expected_error
from hwnat.profile.estimate import estimate_table
from hwnat.profile.models import ExportedModels, Progress
from hwnat.profile.plan import Plan
from hwnat.profile.rounds import Rounds
from hwnat.profile.timer import open_timer, target_of
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import ProfileRun, network_key
from hwnat.records.op import OpSpec
from hwnat.records.store import Store
from hwnat.table.build import build_table, timed_entries
from hwnat.table.entry import Effort
from hwnat.table.lookup import LatencyTable, load_table
from hwnat.targets.base import Estimator
from hwnat.targets.visits import Tell, Timer


def profile(
    device: DeviceSpec,
    plan: Plan,
    *,
    store: Path,
    cache: Path,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> LatencyTable:
    """Measure the missing parts of `plan` and return its table.

    Args:
        device: device to measure; its target may estimate latencies instead.
        plan: operations and networks to measure.
        store: file of measurements; those of an interrupted or earlier profile are reused.
        cache: folder of exported models; existing files are reused.
        progress: called after each exported model and each visit.
        tell: called with a message while waiting for a remote device.

    Raises:
        UsageError: the device's target, cores or runner are not available.
        DeviceError: a remote device failed; its measurements are kept.
        DataError: `store` is damaged or not a store.
    """
    target = target_of(device)
    if isinstance(target, Estimator):
        return estimate_table(device, plan, cache=cache, progress=progress)
    with open_timer(device, target, tell=tell) as timer:
        wanted = begin(device, plan, timer=timer)
        sources = load_sources(plan.sources)
        with Store(store) as db:
            run = _recorded(db, wanted)
            visits = _Visits(
                db=db,
                run=run,
                models=ExportedModels(target=target, folder=cache / target.name),
                networks=_networks(plan),
                timer=timer,
                report=progress or _silent,
            )
            curve = _time_operations(visits, sources) if run.filled else ()
            visits.make(run.subjects[len(run.ops) if run.filled else 0 :])
            return finish(db, run, curve=curve, sources=sources)


def finish(
    db: Store,
    run: ProfileRun,
    *,
    curve: Sequence[tuple[int, float]] = (),
    sources: Sequence[LatencyTable] = (),
) -> LatencyTable:
    """Build the table of a finished profile and predict the operations that it skipped.

    Raises:
        InconclusiveError: a planned measurement is missing.
    """
    if not run.filled:
        return build_table(db, run)
    timed = timed_entries(db, run)
    left = [key for key in (*run.ops, *run.filled) if key not in timed]
    filled = fill(timed, left, sources=sources, seed=run.seed)
    effort = Effort(
        timed=len(timed),
        filled=len(left),
        curve=tuple(curve),
        target_error=run.target_error,
        expected_error=expected_error(curve, 2 * len(timed)),
    )
    return build_table(db, run, filled=filled, effort=effort)


def _time_operations(
    visits: "_Visits", sources: Sequence[LatencyTable]
) -> tuple[tuple[int, float], ...]:
    """Time operations in batches until they predict each other well or the budget is spent.

    Returns:
        (timings, mean relative error of held-out entries) after each batch.
    """
    run, curve, asked = visits.run, [], 0
    for batch in batches(run.ops):
        visits.make((*batch, run.overhead))
        asked += len(batch)
        # A resumed profile may have more entries, but needs the curve of an uninterrupted one.
        timed = {
            key: entry
            for key, entry in timed_entries(visits.db, run).items()
            if key in run.ops[:asked]
        }
        curve.append((asked, held_out_error(timed, sources=sources, seed=run.seed)))
        if run.target_error is not None and curve[-1][1] <= run.target_error:
            break
    return tuple(curve)


def load_sources(paths: Mapping[str, str]) -> tuple[LatencyTable, ...]:
    """Load the tables that a profile transfers from.

    Raises:
        DataError: a table is missing, or has changed since the profile began.
    """
    tables = tuple(load_table(path) for path in paths)
    for path, table in zip(paths, tables, strict=True):
        if table.table_id != paths[path]:
            msg = (
                f"Table {path} is {table.table_id}; the profile began with {paths[path]}. "
                "Restore it, or start a new profile with another --store."
            )
            raise DataError(msg)
    return tables


def begin(device: DeviceSpec, plan: Plan, *, timer: Timer) -> ProfileRun:
    """Describe the profile: everything that determines the meaning of its numbers."""
    space, classes, batch = plan.space.name, plan.classes, plan.batch
    reference = network_key(space, plan.reference.text, classes=classes, batch=batch)
    return ProfileRun(
        setup=timer.setup(reference=reference, batch=batch),
        protocol=device.protocol,
        space=space,
        classes=classes,
        resolutions=plan.resolutions,
        ops=tuple(op.key for op in plan.ops),
        overhead=plan.overhead.key,
        calibration=tuple(arch.text for arch in plan.calibration),
        validation=tuple(arch.text for arch in plan.validation),
        created=now(),
        filled=tuple(op.key for op in plan.filled),
        target_error=plan.target_error,
        sources=plan.sources,
        seed=plan.seed,
    )


def _recorded(db: Store, wanted: ProfileRun) -> ProfileRun:
    """Return the same profile if it began earlier; otherwise record this one."""
    for run in db.runs():
        if replace(run, created=wanted.created) == wanted:
            return run
    db.add_run(wanted)
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits:
    """Makes the visits of one profile and commits each.

    Attributes:
        networks: network key -> its operations; the key of an operation describes it.
    """

    db: Store
    run: ProfileRun
    models: ExportedModels
    networks: Mapping[str, Sequence[OpSpec]]
    timer: Timer
    report: Progress

    def make(self, subjects: Sequence[str]) -> None:
        """Export the missing models of `subjects` and make their missing visits."""
        keys = dict.fromkeys((self.run.setup.reference, *subjects))
        sources = {key: self.networks.get(key) or (OpSpec.from_key(key),) for key in keys}
        self.models.export(sources, progress=self.report)
        Rounds(
            db=self.db,
            timer=self.timer,
            files=self.models,
            setup=self.run.setup,
            rounds=self.run.protocol.rounds,
            report=self.report,
        ).make(subjects)


def _networks(plan: Plan) -> dict[str, Sequence[OpSpec]]:
    """Return the operations of each network key of a plan."""
    return {
        network_key(arch.space.name, arch.text, classes=plan.classes, batch=plan.batch): arch.ops(
            classes=plan.classes, batch=plan.batch
        )
        for arch in (plan.reference, *plan.calibration, *plan.validation)
    }


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
