"""Operator tables of any networks: what a few models run, timed inside small networks.

Every distinct operator of the models is timed as the difference of two networks, see
`hwnat.targets.bench`. Whole networks are timed beside them: the models themselves, and random
networks of a built-in space, so that sums can be calibrated.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

import hwnat
from hwnat.errors import InconclusiveError, UsageError
from hwnat.predict.learned import fit_models
from hwnat.predict.operators import OperatorPredictor
from hwnat.profile.conditions import (
    ConditionsReader,
    choose_cores,
    pinned,
    read_host,
)
from hwnat.profile.models import Progress, bound, one_thread, seeded
from hwnat.profile.paired import Sessions, shuffled_rounds, visit
from hwnat.profile.plan import random_networks
from hwnat.profile.select import farthest
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import Measurement, Setup
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space
from hwnat.records.store import Store
from hwnat.table.build import entry, reference_latency_ns
from hwnat.table.calibrate import Calibration, calibrate
from hwnat.table.difference import differenced
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Session, Target, get_target
from hwnat.targets.bench import FORMS, Bench, copies, difference
from hwnat.targets.trace import Trace
from hwnat.transport.base import get_transport

_SESSION_LIMIT_BYTES: Final = 1 << 30
#: Whole networks that a calibration is fitted on, random ones included.
_NETWORKS: Final = 10
#: Images up to this size are taken for those of small networks.
_SMALL: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A whole network: a file of the target, and what the runtime executes of it."""

    key: str
    path: Path
    trace: Trace


@dataclass(slots=True, kw_only=True)
class Benches:
    """Networks that time operators.

    Attributes:
        found: operation key to its network and what else is executed with it.
        left_out: operation key to the reason why its difference cannot be timed.
    """

    found: dict[str, tuple[Bench, Counter[str]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """A table of operators and what it could not time.

    Attributes:
        left_out: operation key to the reason; models predict those if they can.
    """

    table: LatencyTable
    left_out: Mapping[str, str]


def profile_models(  # noqa: PLR0913 - one keyword for each thing a profile may vary
    device: DeviceSpec,
    files: Sequence[Path],
    *,
    store: Path,
    cache: Path,
    budget: int = 200,
    networks: int = _NETWORKS,
    seed: int = 0,
    progress: Progress | None = None,
) -> OperatorProfile:
    """Measure the operators of some models and return their table.

    Args:
        device: where and how.
        files: ONNX files, or files of the device's target.
        store: measurements; those that are there are not made again.
        cache: folder of exported models.
        budget: most distinct operators to time; the models' own come before the random networks'.
        networks: whole networks to calibrate on.
        seed: of the random networks.
        progress: told about every model exported and every visit made.

    Raises:
        UsageError: the device is not this machine, or a model has no form in its target.
        DataError: a file is damaged or has no fixed shapes.
        InconclusiveError: no operator could be timed.
    """
    report = progress or _silent
    if device.transport != "local":
        msg = f"Device {device.name}: profiling over '{device.transport}' needs a runner there; "
        raise UsageError(msg + "this version profiles the machine it runs on (local).")
    target, folder = get_target(device.target), cache / device.target
    given = [_adopted(each, target, folder) for each in files]
    drawn = _random(given, target, folder, count=networks - len(given), seed=seed)
    ops = _chosen(given, drawn, budget=budget)
    benches = make_benches(ops, target, folder, report=report)
    setup = _setup(device, target, sorted(given, key=lambda each: len(each.trace.ops)))
    timing = _Timing(
        device=device, setup=setup, target=target, folder=folder, benches=benches.found
    )
    whole = [*given, *drawn]
    with Store(store) as db, pinned(setup.affinity):
        visits = timing.run(db, whole, report=report)
    return OperatorProfile(
        table=_table(timing, visits, whole), left_out=dict(sorted(benches.left_out.items()))
    )


def _adopted(file: Path, target: Target, folder: Path) -> Network:
    """Trace a model and put it into the cache as a file of the target."""
    trace = target.trace(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    path = file
    if file.suffix != target.suffix:
        path = folder / f"model-{digest}{target.suffix}"
        if not path.exists():
            target.convert(file, path)
    return Network(key=f"model|{digest}", path=path, trace=trace)


def _random(
    given: Sequence[Network], target: Target, folder: Path, *, count: int, seed: int
) -> list[Network]:
    """Draw and export networks of a built-in space of the models' size."""
    from hwnat.targets.module import network

    if count < 1:
        return []
    widest = max(max(op.in_shape[1:3]) for each in given for op in each.trace.specs)
    space: Space = get_space("mbv3-nano" if widest <= _SMALL else "mbv3-w1.0")
    size = space.resolutions[len(space.resolutions) // 2]
    batch = given[0].trace.batch
    found = []
    for arch in random_networks(space, (size,), count, rng=np.random.default_rng(seed)):
        key = f"network|{space.name}|{arch.text}|classes=10|batch={batch}"
        path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}{target.suffix}"
        if not path.exists():
            with seeded(key), one_thread():
                module = network(arch.ops(classes=10, batch=batch)).eval()
                target.export(module, (batch, 3, size, size), path)
        found.append(Network(key=key, path=path, trace=target.trace(path)))
    return found


def _chosen(
    given: Sequence[Network], drawn: Sequence[Network], *, budget: int
) -> tuple[OpSpec, ...]:
    """Choose distinct operators, the models' own first; farthest points if they are too many."""
    own = _distinct(given)
    others = [op for op in _distinct(drawn) if op not in own]
    if len(own) > budget:
        return farthest(own, budget)
    return (*own, *farthest(others, budget - len(own), beside=own))


def _distinct(networks: Iterable[Network]) -> list[OpSpec]:
    return list({op.key: op for each in networks for op in each.trace.specs}.values())


def make_benches(
    ops: Sequence[OpSpec], target: Target, folder: Path, *, report: Progress
) -> Benches:
    """Export the networks that time operators, in the first form that the runtime goes along with.

    Raises:
        InconclusiveError: there is none for any of them.
    """
    made, worked = Benches(), Counter(FORMS)
    traces: dict[str, Trace] = {}
    for count, op in enumerate(ops, start=1):
        reasons = []
        for form in sorted(FORMS, key=lambda each: -worked[each]):
            bench = Bench(op=op, count=copies(op), form=form)
            try:
                pair = [_exported(each, target, folder, traces) for each in (bench, bench.baseline)]
                rest = difference(bench, *pair)
            except UsageError as error:
                rest = str(error)
            if not isinstance(rest, str):
                worked[form] += 1
                made.found[op.key] = (bench, rest)
                break
            reasons.append(rest)
        else:
            made.left_out[op.key] = reasons[0]
        report("export", count, len(ops))
    if not made.found:
        first = next(iter(made.left_out.items()))
        msg = f"None of {len(ops)} operators can be timed by itself, such as {first[0]}: {first[1]}"
        raise InconclusiveError(msg + ". Time whole networks of a space with: hwnat profile")
    return made


def _exported(bench: Bench, target: Target, folder: Path, traces: dict[str, Trace]) -> Trace:
    if bench.key not in traces:
        path = bench_path(bench.key, target, folder)
        if not path.exists():
            with seeded(bench.key), one_thread():
                target.export(bench.module(), bench.input_shape, path)
        traces[bench.key] = target.trace(path)
    return traces[bench.key]


def bench_path(key: str, target: Target, folder: Path) -> Path:
    """Return where a network that times an operator lies."""
    digest = hashlib.sha256(f"{hwnat.__version__}:{key}".encode()).hexdigest()[:20]
    return folder / f"{digest}{target.suffix}"


def _setup(device: DeviceSpec, target: Target, by_size: Sequence[Network]) -> Setup:
    runtime, version = target.runtime()
    return Setup(
        device=device.name,
        host=read_host(get_transport(device.transport)),
        target=device.target,
        runtime=runtime,
        runtime_version=version,
        threads=device.threads,
        affinity=tuple(choose_cores(device.affinity, threads=device.threads)),
        precision=device.precision,
        batch=by_size[0].trace.batch,
        runs=device.protocol.runs,
        warmup=device.protocol.warmup,
        visit_ms=device.protocol.visit_ms,
        reference=by_size[len(by_size) // 2].key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timing:
    """Everything that is timed, and the visits to it."""

    device: DeviceSpec
    setup: Setup
    target: Target
    folder: Path
    benches: Mapping[str, tuple[Bench, Counter[str]]]

    @property
    def overhead(self) -> OpSpec:
        """The operation with next to no work."""
        return OpSpec(kind="mix", in_shape=(self.setup.batch, 1, 1, 1), out_channels=1)

    def run(
        self, db: Store, whole: Sequence[Network], *, report: Progress
    ) -> dict[str, list[Measurement]]:
        """Make the visits that the store lacks and return all of them by subject."""
        paths = {each.key: each.path for each in whole}
        for bench, _ in self.benches.values():
            for key in (bench.key, bench.baseline.key):
                paths[key] = bench_path(key, self.target, self.folder)
        paths[self.overhead.key] = self._overhead_path()
        subjects = tuple(paths)
        rng = np.random.default_rng(int(self.setup.id, 16))
        visits = list(shuffled_rounds(subjects, self.device.protocol.rounds, rng=rng))
        done = db.jobs(self.setup.id)
        todo = [each for each in visits if self.setup.job(each[1], each[0]) not in done]
        load = self._loader(paths)
        sessions = Sessions(load, limit_bytes=_SESSION_LIMIT_BYTES)
        reference = load(self.setup.reference)[0] if todo else None
        conditions = ConditionsReader(get_transport(self.device.transport))
        for count, (round_, subject) in enumerate(todo, start=1 + len(visits) - len(todo)):
            assert reference is not None
            db.add(
                visit(
                    subject,
                    sessions.get(subject),
                    reference,
                    setup=self.setup,
                    round_=round_,
                    conditions=conditions,
                )
            )
            report("measure", count, len(visits))
        found: dict[str, list[Measurement]] = {subject: [] for subject in subjects}
        for each in db.measurements(self.setup.id, subjects):
            found[each.subject].append(each)
        return found

    def _loader(self, paths: Mapping[str, Path]) -> Callable[[str], tuple[Session, int]]:
        def load(subject: str) -> tuple[Session, int]:
            path = paths[subject]
            session = bound(self.target, path, threads=self.setup.threads, seed=0)
            return session, path.stat().st_size

        return load

    def _overhead_path(self) -> Path:
        from hwnat.targets.module import op_module

        path = bench_path(self.overhead.key, self.target, self.folder)
        if not path.exists():
            shape = (self.setup.batch, 1, 1, 1)
            with seeded(self.overhead.key), one_thread():
                self.target.export(op_module(self.overhead).eval(), shape, path)
        return path


def _table(
    timing: _Timing, visits: Mapping[str, list[Measurement]], whole: Sequence[Network]
) -> LatencyTable:
    """Turn visits into entries, and sums of entries into a calibration."""
    every = sorted((each for of in visits.values() for each in of), key=lambda each: each.ended)
    reference_ns = reference_latency_ns(every)
    entries = _entries(timing.benches, visits, reference_ns=reference_ns)
    table = LatencyTable(
        setup=timing.setup,
        protocol=timing.device.protocol,
        space=None,
        classes=None,
        resolutions=(),
        granularity="operator",
        reference_ns=reference_ns,
        overhead_ns=entry(visits[timing.overhead.key], reference_ns=reference_ns).p50_ns,
        entries=entries,
        calibration=Calibration(),
        validation=(),
        conditions=(every[0].before, every[-1].after),
        hwnat=hwnat.__version__,
        created=every[-1].ended,
    )
    predictor = OperatorPredictor(table, fit=fit_models)
    sums, counts, measured, names = [], [], [], []
    for network in whole:
        found = predictor.predict(network.trace, partial=True)
        if found.missing:
            continue  # its sum is too low to calibrate anything
        sums.append(found.overhead_ns + sum(part.latency_ns for part in found.parts))
        counts.append(len(found.parts))
        measured.append(entry(visits[network.key], reference_ns=reference_ns).p50_ns)
        names.append(network.key)
    return replace(table, calibration=calibrate(names, sums, counts, measured))


def _entries(
    benches: Mapping[str, tuple[Bench, Counter[str]]],
    visits: Mapping[str, list[Measurement]],
    *,
    reference_ns: int,
) -> dict[str, Entry]:
    """Return what each operator takes; one that brings moves along waits for theirs."""
    entries: dict[str, Entry] = {}
    for key, (bench, rest) in sorted(benches.items(), key=lambda each: len(each[1][1])):
        if not all(other in entries for other in rest):
            continue
        entries[key] = differenced(
            visits[bench.key],
            visits[bench.baseline.key],
            count=bench.count,
            reference_ns=reference_ns,
            less_ns=sum(n * entries[other].p50_ns for other, n in rest.items()),
        )
    return entries


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
