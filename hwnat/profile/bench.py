"""Time model files on a device, relative to one of them, and describe how they run.

No table and no search space is involved. All files are timed in alternation with the first one, or
with a baseline, so that the ratio of two files holds on a machine that other programs use too.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.profile.footprint import Footprint, footprint
from hwnat.profile.models import Progress, bound
from hwnat.profile.rounds import make_visits
from hwnat.profile.timer import is_here, open_timer, target_of
from hwnat.records.artifact import staged
from hwnat.records.device import DeviceSpec, load_device
from hwnat.records.measurement import Measurement
from hwnat.table.build import entry, reference_latency_ns
from hwnat.targets.base import Session, Target
from hwnat.targets.fixed import fixed_copies
from hwnat.targets.trace import Trace
from hwnat.targets.visits import Tell

#: Suffix of a file -> the device file for this machine that runs it.
HOSTS: Final = {".onnx": "host-onnx", ".tflite": "host-tflite", ".xml": "host-openvino"}
#: Visits to each file, and the shortest visit. Loading anew for each visit averages over places in
#: memory, which move a latency by a few percent.
_ROUNDS: Final = 12
_VISIT_MS: Final = 250.0
#: A kernel that TensorFlow Lite runs itself, because no delegate took it.
_FALLBACK: Final = "TFLite "


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Kernels of one kind in a file.

    Attributes:
        kind: kind of operation, as keys name it; for an opaque one, the runtime's name.
        count: number of kernels.
        share: their part of the runtime's own profile, 0 to 1; None if the runtime has no profile.
    """

    kind: str
    count: int
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBench:
    """How one file runs on a device.

    Attributes:
        file: path of the file.
        runtime: name and version of the runtime.
        p10_ns: tenth percentile of single runs; `p90_ns` is the ninetieth.
        p50_ns: typical latency, on the same scale for all files.
        ratio: p50_ns over that of the baseline.
        ratio_low: lower end of the ratio's 90 % interval; `ratio_high` is the upper end.
        runs: number of timed runs.
        footprint: loading times and memory; None for a remote device.
        kernels: number of kernels that the runtime executes; None if the file cannot be traced.
        delegated: number of kernels that a delegate runs; None if the runtime has no delegates.
        costs: kernels by kind, the most expensive first.
        untraced: why the kernels are not known; empty if they are.
        doubts: reasons to distrust visits to the file, each once, with a remedy.
    """

    file: Path
    runtime: str
    p10_ns: int
    p50_ns: int
    p90_ns: int
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int
    footprint: Footprint | None
    kernels: int | None
    delegated: int | None
    costs: tuple[Cost, ...]
    untraced: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A file in the format of the target that runs it.

    Attributes:
        key: name of the model in measurements.
        file: path that the user named.
        path: path of the file to run.
    """

    key: str
    file: Path
    path: Path
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models:
    """The files to time, by key; see `hwnat.targets.visits.Files`."""

    models: dict[str, _Model]

    def path(self, key: str) -> Path:
        """Return the path of a model."""
        return self.models[key].path

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with random inputs bound, and the size of its file."""
        model = self.models[key]
        session = bound(model.target, model.path, threads=threads, seed=0)
        return session, model.path.stat().st_size


def bench(  # noqa: PLR0913 - one keyword for each thing a comparison may vary
    files: Sequence[Path],
    *,
    device: DeviceSpec | None = None,
    against: Path | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    rounds: int = _ROUNDS,
    cache: Path = Path("runs/models"),
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> tuple[FileBench, ...]:
    """Time model files, each relative to the baseline.

    Args:
        files: model files; ONNX files are converted for a device that runs another format.
        device: the device that runs them; None runs each file on this machine with the runtime
            for its format.
        against: the baseline; None takes the first of `files`.
        shapes: shapes of inputs to fix before, by name; see `fixed_copies`.
        rounds: visits to each file.
        cache: folder of converted files.
        progress: called after each visit.
        tell: called with a message while waiting for a device.

    Returns:
        One record for each file, the baseline first.

    Raises:
        UsageError: no runtime is known for a file, or the device cannot run it.
        DataError: a file is missing or damaged.
        DeviceError: a remote device failed.
    """
    named = ([] if against is None else [against]) + list(files)
    if not named or rounds < 1:
        msg = f"Name at least one file to time, and at least one round, not {rounds}."
        raise UsageError(msg)
    devices = [device or _host_for(file) for file in named]
    models = [
        _adopted(index, file, spec, cache, shapes or {})
        for index, (file, spec) in enumerate(zip(named, devices, strict=True))
    ]
    protocol = replace(devices[0].protocol, rounds=rounds, visit_ms=_VISIT_MS)
    spec = replace(devices[0], protocol=protocol)
    # A lone file is its own baseline.
    subjects = [model.key for model in models[1:]] or [models[0].key]
    with open_timer(spec, models[0].target, tell=tell) as timer:
        visits = make_visits(
            subjects,
            timer=timer,
            setup=timer.setup(reference=models[0].key, batch=1),
            files=_Models(models={model.key: model for model in models}),
            rounds=rounds,
            report=progress or (lambda *_: None),
        )
    everything = [visit for of_file in visits.values() for visit in of_file]
    reference_ns = reference_latency_ns(everything)
    return tuple(
        _summary(
            model,
            visits.get(model.key, ()),
            everything,
            reference_ns=reference_ns,
            footprint=footprint(spec, model.path) if is_here(spec) else None,
        )
        for model, spec in zip(models, devices, strict=True)
    )


def _host_for(file: Path) -> DeviceSpec:
    """Return the device file for this machine whose runtime reads a file.

    Raises:
        UsageError: no device file is known for the suffix.
    """
    name = HOSTS.get(file.suffix)
    if name is None:
        msg = (
            f"{file} does not end in {', '.join(HOSTS)}; name the device that runs it with "
            "--device. See the devices with: hwnat device list"
        )
        raise UsageError(msg)
    return load_device(name)


def _adopted(
    index: int,
    named: Path,
    spec: DeviceSpec,
    cache: Path,
    shapes: Mapping[str, tuple[int, ...]],
) -> _Model:
    """Return a file as a model, converted if the device runs another format."""
    if not named.is_file():
        msg = f"There is no model file {named}."
        raise DataError(msg)
    target = target_of(spec)
    (file,) = fixed_copies(target, [named], shapes, cache / "fixed")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    path = file
    if file.suffix != target.suffix:
        path = cache / target.name / f"{digest}-{target.precision}{target.suffix}"
        if not path.exists():
            with staged(path) as draft:
                target.convert(file, draft)
    # The index keeps a file apart from an equal one, as in a comparison of a file with itself.
    return _Model(key=f"file|{index}|{digest}", file=named, path=path, target=target)


def _summary(
    model: _Model,
    visits: Sequence[Measurement],
    everything: Sequence[Measurement],
    *,
    reference_ns: int,
    footprint: Footprint | None,
) -> FileBench:
    """Describe a file; one without visits of its own is the baseline of the others."""
    try:
        trace, untraced = model.target.trace(model.path), ""
    except (DataError, UsageError) as error:
        trace, untraced = None, str(error)
    if visits:
        timed = entry(visits, reference_ns=reference_ns)
        low, middle, high = timed.low_ns, timed.p50_ns, timed.high_ns
        p10, p90, runs = timed.p10_ns, timed.p90_ns, timed.n
    else:
        low = middle = high = reference_ns
        samples = np.concatenate([visit.reference_ns for visit in everything])
        p10, p90 = (round(float(end)) for end in np.quantile(samples, [0.1, 0.9]))
        runs = len(samples)
    return FileBench(
        file=model.file,
        runtime=" ".join(model.target.runtime()),
        p10_ns=p10,
        p50_ns=middle,
        p90_ns=p90,
        ratio=middle / reference_ns,
        ratio_low=low / reference_ns,
        ratio_high=high / reference_ns,
        runs=runs,
        footprint=footprint,
        kernels=None if trace is None else len(trace.ops),
        delegated=None if trace is None else _delegated(trace),
        costs=() if trace is None else _costs(trace),
        untraced=untraced,
        doubts=tuple(dict.fromkeys(reason for visit in visits for reason in visit.doubts())),
    )


def _delegated(trace: Trace) -> int | None:
    """Return the number of kernels that a delegate runs."""
    if trace.target != "tflite":
        return None
    return sum(not kernel.kernel.startswith(_FALLBACK) for kernel in trace.ops)


def _costs(trace: Trace) -> tuple[Cost, ...]:
    """Add up the kernels of each kind."""
    count: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for kernel in trace.ops:
        # The runtime's name says more than the kind of an opaque operation.
        kind = kernel.op.form.partition(".")[0] or kernel.op.kind
        count[kind] += 1
        spent[kind] += round(kernel.profile_ns or 0)
    total = spent.total()
    costs = [
        Cost(kind=kind, count=count[kind], share=spent[kind] / total if total else None)
        for kind in count
    ]
    return tuple(sorted(costs, key=lambda cost: (-(cost.share or 0), -cost.count, cost.kind)))
