"""Tables of a compiler's estimates. No model runs, so there are no rounds and no reference.

An estimate depends only on the file and on the compiler's configuration and version. The compiler's
report is kept beside the file, so an interrupted table can resume.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import hwnat
from hwnat.device.conditions import now
from hwnat.errors import TableMismatchError, UsageError
from hwnat.profile.models import ExportedModels, Progress
from hwnat.profile.plan import Plan
from hwnat.records.arch import Arch
from hwnat.records.device import DeviceSpec, Npu, named_device
from hwnat.records.measurement import Host, Setup, network_key
from hwnat.records.op import OpSpec
from hwnat.records.parse import read_text
from hwnat.records.space import get_space
from hwnat.records.write import write_text
from hwnat.table.calibrate import calibrate
from hwnat.table.entry import Entry, derived_entry
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Estimator, Target, get_target
from hwnat.targets.tflite.vela import read_latency_ns
from hwnat.transport.base import Transport
from hwnat.transport.local import LocalTransport


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuEstimator:
    """A folder of model files with the compiler's reports on them."""

    models: ExportedModels
    estimator: Estimator
    npu: Npu
    link: Transport
    progress: Progress

    def latency_ns(self, sources: Mapping[str, Sequence[OpSpec]]) -> dict[str, int]:
        """Return the estimate of each key in ns; create missing files and reports.

        Args:
            sources: key -> its operations.

        Raises:
            DeviceError: see `read_latency_ns`, and `Estimator.estimate`.
        """
        self.models.export(sources, progress=self.progress)
        latencies = {}
        for count, key in enumerate(sources, start=1):
            where = f"{self.npu.accelerator}, {key}"
            latencies[key] = read_latency_ns(self._text(key), where=where)
            self.progress("estimate", count, len(sources))
        return latencies

    def _text(self, key: str) -> str:
        model, version = self.models.path(key), self.models.target.runtime()[1]
        npu = f"{self.npu.id}{_edition(self.npu)}"
        path = model.with_name(f"{model.stem}-{npu}-{version}.txt")
        if not path.exists():
            write_text(path, self.estimator.estimate(model, self.npu, link=self.link))
        return read_text(path, what="estimate")


def _estimates(device: DeviceSpec, cache: Path, progress: Progress | None) -> NpuEstimator:
    target = get_target(device.target, precision=device.precision)
    if not isinstance(target, Estimator) or device.npu is None:
        msg = (
            f"Device {device.name}: an estimate needs a target such as ethosu and a table [npu] "
            "in the device file; see docs/devices.md."
        )
        raise UsageError(msg)
    return NpuEstimator(
        models=ExportedModels(target=target, folder=cache / target.name),
        estimator=target,
        npu=device.npu,
        link=LocalTransport(),
        progress=progress or _silent,
    )


def estimate_table(
    device: DeviceSpec, plan: Plan, *, cache: Path, progress: Progress | None = None
) -> LatencyTable:
    """Estimate all of `plan` and return its table; every entry is marked `estimated`.

    Args:
        device: a device with an NPU and a target that estimates.
        plan: operations and networks to estimate; the reference network is not used.
        cache: folder for exported models and the compiler's reports on them.
        progress: called after each exported model and each estimate.

    Raises:
        UsageError: the device's target does not estimate, or the plan has a budget.
        DeviceError: the compiler fails, or assigns operators to the CPU.
    """
    if plan.filled or plan.sources:
        msg = "An estimate takes no time on a device. Leave out --budget and --from."
        raise UsageError(msg)
    estimates = _estimates(device, cache, progress)
    archs = {_key(plan, arch): arch for arch in (*plan.calibration, *plan.validation)}
    sources: dict[str, Sequence[OpSpec]] = {op.key: (op,) for op in (*plan.ops, plan.overhead)}
    sources |= {k: a.ops(classes=plan.classes, batch=plan.batch) for k, a in archs.items()}
    latencies = estimates.latency_ns(sources)
    overhead_ns = latencies[plan.overhead.key]
    entries = {op.key: _entry(max(1, latencies[op.key] - overhead_ns)) for op in plan.ops}
    sums = {key: overhead_ns + sum(entries[op.key].p50_ns for op in sources[key]) for key in archs}
    known = [_key(plan, arch) for arch in plan.calibration]
    calibration = calibrate(
        [arch.text for arch in plan.calibration],
        [sums[key] for key in known],
        [len(sources[key]) for key in known],
        [latencies[key] for key in known],
    )
    checks = [
        calibration.check(
            arch.text, sum_ns=sums[key], ops=len(sources[key]), measured_ns=latencies[key]
        )
        for arch in plan.validation
        for key in [_key(plan, arch)]
    ]
    return LatencyTable(
        setup=_setup(device, estimates.npu, estimates.models.target, batch=plan.batch),
        protocol=None,
        space=plan.space.name,
        classes=plan.classes,
        resolutions=plan.resolutions,
        granularity="block",
        reference_ns=None,
        overhead_ns=overhead_ns,
        entries=entries,
        calibration=calibration,
        validation=tuple(checks),
        conditions=(None, None),
        hwnat=hwnat.__version__,
        created=now(),
    )


def estimate_file(path: Path, table: LatencyTable) -> Entry:
    """Estimate a file for the NPU of a table of estimates.

    Raises:
        TableMismatchError: the table's device or compiler has changed.
        DeviceError: the compiler fails, or assigns operators to the CPU.
    """
    estimates = _as_table(table, path.parent, None)
    text = estimates.estimator.estimate(path, estimates.npu, link=estimates.link)
    return _entry(read_latency_ns(text, where=str(path)))


def estimate_networks(
    genomes: Sequence[str],
    table: LatencyTable,
    *,
    cache: Path,
    progress: Progress | None = None,
) -> list[Entry]:
    """Estimate networks from the space of a table of estimates.

    Raises:
        TableMismatchError: the table's device or compiler has changed.
    """
    estimates, (name, classes) = _as_table(table, cache, progress), table.of_space()
    batch = table.setup.batch
    archs = [Arch.from_text(get_space(name), genome) for genome in genomes]
    keys = [network_key(name, text, classes=classes, batch=batch) for text in genomes]
    sources = {
        key: arch.ops(classes=classes, batch=batch) for key, arch in zip(keys, archs, strict=True)
    }
    latencies = estimates.latency_ns(sources)
    return [_entry(latencies[key]) for key in keys]


def _as_table(table: LatencyTable, cache: Path, progress: Progress | None) -> NpuEstimator:
    """Return an estimator with the settings of a table."""
    device = named_device(table.setup.device, where=f"Table {table.name}")
    estimates = _estimates(device, cache, progress)
    setup = _setup(device, estimates.npu, estimates.models.target, batch=table.setup.batch)
    if setup != table.setup:
        msg = (
            f"Table {table.name} was estimated with another device file or compiler; make a new "
            f"one with: hwnat profile --device {device.name} --space {table.space}"
        )
        raise TableMismatchError(msg)
    return estimates


def _key(plan: Plan, arch: Arch) -> str:
    return network_key(plan.space.name, arch.text, classes=plan.classes, batch=plan.batch)


def _setup(device: DeviceSpec, npu: Npu, target: Target, *, batch: int) -> Setup:
    """Describe the setup; the machine is the NPU with the system around it."""
    runtime, version = target.runtime()
    return Setup(
        device=device.name,
        host=Host(
            cpu=npu.accelerator,
            cores=None,
            machine=None,
            os=f"{npu.system}, {npu.memory} of {npu.config}{_edition(npu)}",
        ),
        target=device.target,
        runtime=runtime,
        runtime_version=version,
        threads=device.threads,
        affinity=(),
        precision=device.precision,
        batch=batch,
        runs=0,
        warmup=0,
        visit_ms=0.0,
        reference="",
    )


def _edition(npu: Npu) -> str:
    """Return a hash that distinguishes versions of your own configuration file.

    It is empty for a file of the compiler, whose version identifies the file.
    """
    path = Path(npu.config)
    return f"-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}" if path.is_file() else ""


def _entry(latency_ns: int) -> Entry:
    return derived_entry(latency_ns, latency_ns, latency_ns, n=1, provenance="estimated")


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
