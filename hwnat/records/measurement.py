"""Measurements: the model, the setup, the conditions, and each run in integer nanoseconds."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final, Literal

from hwnat.errors import DataError
from hwnat.records.device import TimingProtocol
from hwnat.records.parse import is_name

#: A measurement above one of these limits is doubtful; see `Measurement.doubts`.
MAX_SPREAD: Final = 0.25
MAX_TAIL: Final = 3.0
MAX_HEATING_C: Final = 15.0

#: Largest number of threads, runs and the like in a setup, and longest visit.
_MAX_COUNT: Final = 1_000_000
_MAX_VISIT_MS: Final = 1e5

#: Keys that the first tables and stores did not have -> the value that their absence means.
_LATER: Final[Mapping[str, object]] = {
    **dict.fromkeys(("soc", "board", "build", "serial", "delegate", "runner", "held_governor")),
    **dict.fromkeys(("thermal_status", "skin_c", "battery_percent", "battery_c")),
    **dict.fromkeys(("low_power", "awake", "cpu_quota", "stopped_ns")),
    "limits_hz": (),
    "doubts": (),
    "alternation": "runs",
    "clocks": "free",
}


#: How the model and the reference model take turns: run by run inside one process, or process by
#: process if a program can hold only one model.
Alternation = Literal["runs", "processes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine that runs the models; a value that it does not report is None.

    Attributes:
        cpu: name of the processor.
        cores: number of cores.
        machine: instruction set, as `uname -m` prints it.
        os: name and version of the system.
        soc: system on a chip, with its maker.
        board: maker and model of the product.
        build: fingerprint of the system image.
        serial: twelve hexadecimal digits of a hash of the serial number; None for this machine.
    """

    cpu: str | None
    cores: int | None
    machine: str | None
    os: str | None
    soc: str | None = None
    board: str | None = None
    build: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The state of the machine at one instant; a value that it does not report is None.

    Attributes:
        at: time in UTC, ISO 8601.
        governor: governor of the cores. If they differ, all governors, separated by commas and
            beginning with that of the first core.
        clocks_hz: clock of every core that reports it.
        temperature_c: temperature of the hottest thermal zone.
        load_1m: number of runnable processes, averaged over one minute.
        limits_hz: highest clock that the system permits each core at present. It is below the
            maximum of the core while the system throttles.
        thermal_status: thermal status of Android, from 0 (none) to 6 (shutdown).
        skin_c: surface temperature of a phone.
        battery_percent: charge of the battery.
        battery_c: temperature of the battery.
        low_power: whether the system saves power.
        awake: whether the screen is on.
        cpu_quota: cores' worth of CPU time that a control group allows, as a container's limit
            does; None if there is no limit.
        stopped_ns: how long control groups have been stopped so far because their CPU quota was
            used up; None if there is no limit.
    """

    at: str
    governor: str | None = None
    clocks_hz: tuple[int, ...] = ()
    temperature_c: float | None = None
    load_1m: float | None = None
    limits_hz: tuple[int, ...] = ()
    thermal_status: int | None = None
    skin_c: float | None = None
    battery_percent: int | None = None
    battery_c: float | None = None
    low_power: bool | None = None
    awake: bool | None = None
    cpu_quota: float | None = None
    stopped_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that a timing depends on, except the model.

    Attributes:
        device: name of the device file.
        host: the machine that ran the models.
        target: name of the target.
        runtime: name of the runtime.
        runtime_version: version of the runtime.
        threads: number of threads of the runtime.
        affinity: cores that the runner was pinned to; empty if it was not pinned.
        precision: arithmetic of the model files.
        batch: number of images per run.
        runs: number of timed runs in one visit.
        warmup: number of untimed runs at the start of a visit.
        visit_ms: shortest visit.
        reference: key of the reference model, whose runs alternate with those of the timed model.
        realtime: whether ordinary programs were kept off the cores during visits.
        delegate: accelerator that ran the whole model; None is the default of the runtime.
        runner: program that timed the models, with its version; None is hwnat itself.
        alternation: how the model and the reference model took turns.
        clocks: `fixed` if the device held its clocks at a level that it can sustain.
        held_governor: governor from the device file that was set for all cores; None is the
            device's own.
    """

    device: str
    host: Host
    target: str
    runtime: str
    runtime_version: str
    threads: int
    affinity: tuple[int, ...]
    precision: str
    batch: int
    runs: int
    warmup: int
    visit_ms: float
    reference: str
    realtime: bool = False
    delegate: str | None = None
    runner: str | None = None
    alternation: Alternation = "runs"
    clocks: Literal["free", "fixed"] = "free"
    held_governor: str | None = None

    def __post_init__(self) -> None:
        # These values become parts of paths and of the commands in messages.
        for name in ("device", "target", "precision", "delegate"):
            value = getattr(self, name)
            if value is not None and not is_name(value):
                msg = f"{name} {value!r:.80} is not a name: use letters, digits and . _ -"
                raise DataError(msg)
        counts = (self.threads, self.batch, self.runs, self.warmup, *self.affinity)
        if min(counts) < 0 or self.batch < 1 or max(counts) > _MAX_COUNT:
            msg = f"threads, batch, runs, warm-up and cores {counts!s:.80} are not those of a setup"
            raise DataError(msg)
        if len(set(self.affinity)) != len(self.affinity):
            msg = f"affinity {self.affinity!s:.80} is not a list of distinct core numbers"
            raise DataError(msg)
        if not 0 <= self.visit_ms < _MAX_VISIT_MS:
            msg = f"visit_ms {self.visit_ms} is not from 0 to {_MAX_VISIT_MS:g}"
            raise DataError(msg)

    def __repr__(self) -> str:
        runtime = f"{self.runtime} {self.runtime_version}".strip()
        return f"Setup({self.device}, {self.target} {self.precision}, {runtime}, id={self.id})"

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that are equal for equal setups."""
        text = json.dumps(plain(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def job(self, subject: str, round_: int) -> str:
        """Return the name of a visit: 24 hexadecimal digits that hash setup, model and round."""
        return hashlib.sha256(f"{self.id}:{subject}:{round_}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One visit to a model, with the runs of the reference model in between.

    Attributes:
        job: name of the visit, as `Setup.job` returns it.
        setup: id of the setup.
        subject: key of the operation or network.
        round: number of the round, from 0.
        samples_ns: latency of each run of the model, in order.
        reference_ns: latency of each run of the reference model, in order.
        disturbed: number of runs that were discarded because another program used the core.
        started: time of the start in UTC, ISO 8601.
        ended: time of the end in UTC, ISO 8601.
        before: last conditions that were read before the visit.
        after: first conditions that were read after the visit.
    """

    job: str
    setup: str
    subject: str
    round: int
    samples_ns: tuple[int, ...]
    reference_ns: tuple[int, ...]
    disturbed: int
    started: str
    ended: str
    before: Conditions | None = None
    after: Conditions | None = None

    def __post_init__(self) -> None:
        for name, series in (("samples", self.samples_ns), ("reference", self.reference_ns)):
            if not series or min(series) <= 0:
                msg = f"{self.subject}: {name} are {series!s:.80}; a failed run must raise."
                raise DataError(msg)
        if self.round < 0 or self.disturbed < 0:
            msg = f"{self.subject}: round {self.round} with {self.disturbed} disturbed runs."
            raise DataError(msg)

    def __repr__(self) -> str:
        return (
            f"Measurement({self.subject}, round {self.round}, {len(self.samples_ns)} runs, "
            f"median {self.median_ns / 1e6:.3f} ms)"
        )

    @property
    def median_ns(self) -> float:
        """Median latency of the model."""
        return median(self.samples_ns)

    @property
    def ratio(self) -> float:
        """Lower quartile of the model divided by that of the reference model.

        Medians would be biased: a disturbance only ever adds time, and adds more to a long run.
        """
        return lower_quartile(self.samples_ns) / lower_quartile(self.reference_ns)

    def doubts(self) -> tuple[str, ...]:
        """Return the reasons to distrust this visit, each with a remedy."""
        reasons = []
        kept = len(self.samples_ns) + len(self.reference_ns)
        if self.disturbed > kept:
            reasons.append(
                f"{self.disturbed} of {self.disturbed + kept} runs were interrupted: "
                "stop other programs and run again"
            )
        for name, series in (("model", self.samples_ns), ("reference", self.reference_ns)):
            middle = median(series)
            spread = median(abs(run_ns - middle) for run_ns in series) / middle
            if spread > MAX_SPREAD:
                reasons.append(
                    f"{name} runs spread {spread:.0%}, over {MAX_SPREAD:.0%}: "
                    "stop other programs, pin the clocks and run again"
                )
            if (tail := max(series) / middle) > MAX_TAIL:
                reasons.append(
                    f"slowest {name} run is {tail:.1f} times the median: look for throttling"
                )
        if stopped_ns := _stopped_ns(self.before, self.after):
            reasons.append(
                f"the CPU quota of its container stopped it for {stopped_ns / 1e6:.0f} ms: raise "
                "the quota (docker --cpus, limits.cpu of Kubernetes) and run again"
            )
        heat = _heating_c(self.before, self.after)
        if heat is not None and heat > MAX_HEATING_C:
            reasons.append(f"grew {heat:.0f} °C hotter: let the device cool down and run again")
        return tuple(reasons)


def is_steady(body: str) -> bool:
    """Return whether a stored visit is plainly free of doubts; False needs a closer look.

    It reads the JSON of a visit without checking it, which takes a tenth of the time.
    """
    try:
        visit = json.loads(body)
        for series in (visit["samples_ns"], visit["reference_ns"]):
            low = min(series)
            # A range this small leaves no room for a wider spread or a longer tail.
            if not 0 < low <= max(series) <= low * (1 + MAX_SPREAD):
                return False
        states = [state for state in (visit["before"], visit["after"]) if state is not None]
        before, after = ([state["temperature_c"] for state in states] + [None, None])[:2]
        heat_c = 0.0 if None in (before, after) else after - before
        return bool(visit["disturbed"] == 0 and heat_c <= MAX_HEATING_C)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def lower_quartile(series: Sequence[int]) -> float:
    """Return the first quartile of a series, interpolated linearly.

    >>> lower_quartile([30, 10, 20, 50, 40])
    20.0
    """
    ordered = sorted(series)
    whole, part = divmod((len(ordered) - 1) * 0.25, 1)
    low, high = ordered[int(whole)], ordered[min(int(whole) + 1, len(ordered) - 1)]
    return low + part * (high - low)


def _stopped_ns(before: Conditions | None, after: Conditions | None) -> int:
    """Return how long a CPU quota stopped the process between two readings."""
    if before is None or after is None or after.stopped_ns is None:
        return 0
    return max(0, after.stopped_ns - (before.stopped_ns or 0))


def _heating_c(before: Conditions | None, after: Conditions | None) -> float | None:
    if before is None or after is None:
        return None
    if before.temperature_c is None or after.temperature_c is None:
        return None
    return after.temperature_c - before.temperature_c


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRun:
    """The plan of a profile. A table is built from the plan and the measurements.

    Attributes:
        setup: the setup of every visit.
        protocol: how often models are run.
        space: name of the space.
        classes: number of outputs of the classifier.
        resolutions: input resolutions that the table covers.
        ops: keys of the operations to time. With a budget, the most informative come first.
        overhead: key of an operation with almost no work. Its time is the cost of starting a run.
        calibration: genomes of the networks that the calibration is fitted to.
        validation: genomes of the networks that the table is validated with.
        created: time of the plan in UTC, ISO 8601.
        filled: keys of the entries that are predicted from timed entries and `sources`.
        target_error: timing stops when held-out entries are predicted with this mean error.
        sources: path of each table of another device -> id of the table.
        seed: random seed for the choice of `ops` and for the predicted entries.
    """

    setup: Setup
    protocol: TimingProtocol
    space: str
    classes: int
    resolutions: tuple[int, ...]
    ops: tuple[str, ...]
    overhead: str
    calibration: tuple[str, ...]
    validation: tuple[str, ...]
    created: str
    filled: tuple[str, ...] = ()
    target_error: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_name(self.space) or self.classes < 1:
            msg = f"space {self.space!r:.80} with {self.classes} classes is not possible"
            raise DataError(msg)
        if not self.resolutions or min(self.resolutions) < 1:
            msg = f"resolutions {self.resolutions!s:.80} are not those of a profile"
            raise DataError(msg)

    def __repr__(self) -> str:
        return f"ProfileRun({self.setup.device}, {self.space}, {len(self.ops)} operations)"

    @property
    def subjects(self) -> tuple[str, ...]:
        """Keys of everything to time: operations, then networks."""
        genomes = self.calibration + self.validation
        return (*self.ops, self.overhead, *map(self.network, genomes))

    def network(self, genome: str) -> str:
        """Return the key of a whole network of this profile."""
        return network_key(self.space, genome, classes=self.classes, batch=self.setup.batch)


def plain(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass that holds setups
    """Return a record as nested dictionaries, without later keys that hold their default.

    A hash of these dictionaries is then the same as in versions that did not have those keys.
    """
    return asdict(record, dict_factory=_known)


def _known(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if key not in _LATER or value != _LATER[key]}


def network_key(space: str, genome: str, *, classes: int, batch: int = 1) -> str:
    """Return the canonical text of a whole network, the counterpart of `OpSpec.key`."""
    return f"network|{space}|{genome}|classes={classes}|batch={batch}"
