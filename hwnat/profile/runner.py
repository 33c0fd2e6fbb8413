"""Profile a device: export every model once, time it in rounds, commit each visit."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from hwnat.errors import UsageError
from hwnat.profile.conditions import (
    ConditionsReader,
    choose_cores,
    now,
    pinned,
    read_host,
)
from hwnat.profile.models import Models, Progress
from hwnat.profile.paired import Sessions, shuffled_rounds, visit
from hwnat.profile.plan import Plan
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import ProfileRun, Setup, network_key
from hwnat.records.op import OpSpec
from hwnat.records.store import Store
from hwnat.table.build import build_table
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Target, get_target
from hwnat.transport.base import Transport, connect

#: Loaded model files; a session takes about three times its file.
_SESSION_LIMIT_BYTES: Final = 1 << 30


def profile(
    device: DeviceSpec,
    plan: Plan,
    *,
    store: Path,
    cache: Path,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure what is missing of `plan` and return its table.

    Args:
        device: where and how.
        plan: what.
        store: measurements; those of an interrupted or earlier profile are taken over.
        cache: folder of exported models; those that are there are not exported again.
        progress: told about every model exported and every visit made.

    Raises:
        UsageError: the device is not this machine, or its target or cores are not available.
        DataError: `store` is damaged or not a store.
    """
    report = progress or _silent
    if device.transport != "local":
        msg = f"Device {device.name}: profiling over '{device.transport}' needs a runner there; "
        msg += "this version profiles the machine it runs on (local)."
        raise UsageError(msg)
    link, target = connect(device), get_target(device.target)
    cores = choose_cores(device.affinity, threads=device.threads)
    wanted = begin(device, plan, link=link, target=target, cores=cores)
    with Store(store) as db:
        run = _recorded(db, wanted)
        models = Models(target=target, folder=cache / target.name)
        models.export(_sources(plan), progress=report)
        with pinned(cores):
            _measure(db, run, models, conditions=ConditionsReader(link), report=report)
        return build_table(db, run)


def begin(
    device: DeviceSpec, plan: Plan, *, link: Transport, target: Target, cores: Sequence[int]
) -> ProfileRun:
    """Describe the profile: everything that decides what its numbers mean."""
    runtime, version = target.runtime()
    space, classes, batch = plan.space.name, plan.classes, plan.batch
    setup = Setup(
        device=device.name,
        host=read_host(link),
        target=device.target,
        runtime=runtime,
        runtime_version=version,
        threads=device.threads,
        affinity=tuple(cores),
        precision=device.precision,
        batch=batch,
        runs=device.protocol.runs,
        warmup=device.protocol.warmup,
        visit_ms=device.protocol.visit_ms,
        reference=network_key(space, plan.reference.text, classes=classes, batch=batch),
    )
    return ProfileRun(
        setup=setup,
        protocol=device.protocol,
        space=space,
        classes=classes,
        resolutions=plan.resolutions,
        ops=tuple(op.key for op in plan.ops),
        overhead=plan.overhead.key,
        calibration=tuple(arch.text for arch in plan.calibration),
        validation=tuple(arch.text for arch in plan.validation),
        created=now(),
    )


def _recorded(db: Store, wanted: ProfileRun) -> ProfileRun:
    """Return the same profile begun earlier, or record this one."""
    for run in db.runs():
        if replace(run, created=wanted.created) == wanted:
            return run
    db.add_run(wanted)
    return wanted


def _measure(
    db: Store,
    run: ProfileRun,
    models: Models,
    *,
    conditions: ConditionsReader,
    report: Progress,
) -> None:
    """Make the visits that the store lacks, a commit each."""
    threads, rounds = run.setup.threads, run.protocol.rounds
    # Seeded by the setup, so that a resumed profile goes through the rounds in the same order.
    rng = np.random.default_rng(int(run.setup.id, 16))
    visits = list(shuffled_rounds(run.subjects, rounds, rng=rng))
    done = db.jobs(run.setup.id)
    todo = [each for each in visits if run.setup.job(each[1], each[0]) not in done]
    if not todo:
        return
    sessions = Sessions(
        lambda subject: models.load(subject, threads=threads), limit_bytes=_SESSION_LIMIT_BYTES
    )
    reference, _ = models.load(run.setup.reference, threads=threads)
    for count, (round_, subject) in enumerate(todo, start=1 + len(visits) - len(todo)):
        measured = visit(
            subject,
            sessions.get(subject),
            reference,
            setup=run.setup,
            round_=round_,
            conditions=conditions,
        )
        db.add(measured)
        report("measure", count, len(visits))


def _sources(plan: Plan) -> dict[str, Sequence[OpSpec]]:
    """Return what each key of a plan runs."""
    sources: dict[str, Sequence[OpSpec]] = {op.key: (op,) for op in (*plan.ops, plan.overhead)}
    for arch in (plan.reference, *plan.calibration, *plan.validation):
        key = network_key(arch.space.name, arch.text, classes=plan.classes, batch=plan.batch)
        sources[key] = arch.ops(classes=plan.classes, batch=plan.batch)
    return sources


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
