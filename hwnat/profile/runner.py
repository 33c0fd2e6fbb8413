"""Profile a device: export every model once, time it in rounds, commit each visit."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnat.errors import UsageError
from hwnat.profile.conditions import (
    ConditionsReader,
    choose_cores,
    now,
    pinned,
    read_host,
)
from hwnat.profile.paired import Sessions, shuffled_rounds, visit
from hwnat.profile.plan import Plan
from hwnat.records.arch import Arch
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import ProfileRun, Setup, network_key
from hwnat.records.op import OpSpec
from hwnat.records.store import Store
from hwnat.table.build import build_table
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Session, Target, get_target
from hwnat.transport.base import Transport, get_transport

if TYPE_CHECKING:
    from torch import nn

#: Called with a stage, how much of it is done and how much there is.
Progress = Callable[[str, int, int], None]
#: Loaded model files; a session takes about three times its file.
_SESSION_LIMIT_BYTES: Final = 1 << 30
#: Images whose statistics the batch norms of an untrained network take over.
_STATISTICS_BATCH: Final = 4


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
    link, target = get_transport(device.transport), get_target(device.target)
    cores = choose_cores(device.affinity, threads=device.threads)
    wanted = begin(device, plan, link=link, target=target, cores=cores)
    with Store(store) as db:
        run = _recorded(db, wanted)
        models = _Models(plan=plan, target=target, folder=cache / target.name)
        models.export(progress=report)
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
    models: "_Models",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models:
    """The exported files of a plan."""

    plan: Plan
    target: Target
    folder: Path

    def _sources(self) -> Mapping[str, OpSpec | Arch]:
        plan = self.plan
        networks = (plan.reference, *plan.calibration, *plan.validation)
        ops = (*plan.ops, plan.overhead)
        return {op.key: op for op in ops} | {self._key(arch): arch for arch in networks}

    def _key(self, arch: Arch) -> str:
        return network_key(
            arch.space.name, arch.text, classes=self.plan.classes, batch=self.plan.batch
        )

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()[:20]
        return self.folder / f"{digest}{self.target.suffix}"

    def export(self, *, progress: Progress) -> None:
        """Write the files that are not there yet; each appears whole or not at all."""
        sources = self._sources()
        missing = [key for key in sources if not self._path(key).exists()]
        for count, key in enumerate(missing, start=1 + len(sources) - len(missing)):
            source = sources[key]
            ops = [source] if isinstance(source, OpSpec) else self._ops(source)
            with _seeded(key):
                module = _module(ops)
            batch, height, width, channels = ops[0].in_shape
            self.target.export(module, (batch, channels, height, width), self._path(key))
            progress("export", count, len(sources))

    def _ops(self, arch: Arch) -> Sequence[OpSpec]:
        return arch.ops(classes=self.plan.classes, batch=self.plan.batch)

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with its input bound, and the size of its file."""
        path = self._path(key)
        session = self.target.load(path, threads=threads)
        rng = np.random.default_rng(int(path.stem, 16))
        session.prepare(rng.standard_normal(session.input_shape, dtype=np.float32))
        return session, path.stat().st_size


def _module(ops: Sequence[OpSpec]) -> "nn.Module":
    """Build the module of one operation or network, its batch norms fitted to random input.

    Untrained networks of this depth shrink their activations towards denormal numbers, which
    take longer to compute; with statistics of their own they stay of order one.
    """
    import torch

    from hwnat.targets.module import network, op_module

    module = op_module(ops[0]) if len(ops) == 1 else network(ops)
    _, height, width, channels = ops[0].in_shape
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        module.train()(torch.randn(_STATISTICS_BATCH, channels, height, width))
    return module.eval()


@contextmanager
def _seeded(text: str) -> Iterator[None]:
    """Make torch's random numbers a function of `text`, and leave its generator as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))
        yield


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
