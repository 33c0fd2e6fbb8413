"""What was timed, how, under which conditions, and what came out: raw and integral."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final, Literal

from hwnat.errors import DataError
from hwnat.records.device import TimingProtocol
from hwnat.records.parse import is_name

#: Above these a measurement is doubtful; see `Measurement.doubts`.
MAX_SPREAD: Final = 0.25
MAX_TAIL: Final = 3.0
MAX_HEATING_C: Final = 15.0

#: Most threads, runs and the like of a setup, and the longest visit.
_MAX_COUNT: Final = 1_000_000
_MAX_VISIT_MS: Final = 1e5

#: Keys that came after the first tables and stores, with the value that older ones stand for.
_LATER: Final[Mapping[str, object]] = {
    **dict.fromkeys(("soc", "board", "build", "serial", "delegate", "runner", "held_governor")),
    **dict.fromkeys(("thermal_status", "skin_c", "battery_percent", "battery_c")),
    **dict.fromkeys(("low_power", "awake")),
    "limits_hz": (),
    "alternation": "runs",
    "clocks": "free",
}


#: What the model and the reference model take turns by: single runs inside one process, or whole
#: processes where a program holds one model only.
Alternation = Literal["runs", "processes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine itself; what it does not tell is None.

    Attributes:
        machine: instruction set, as `uname -m` names it.
        soc: system on a chip, with its maker.
        board: maker and model of the product.
        build: fingerprint of the system image.
        serial: twelve hexadecimal digits of a hash of its serial number; None for this machine.
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
    """The machine's state at one instant; what it does not tell is None.

    Attributes:
        at: UTC, ISO 8601.
        governor: of the cores; where they differ all of them, the first core's first, with commas.
        clocks_hz: of every core that tells it.
        temperature_c: of the hottest thermal zone.
        load_1m: runnable processes, one-minute average.
        limits_hz: what the system lets the clock of each core rise to now; less than its
            maximum while it throttles.
        thermal_status: of Android, from 0 for none to 6 for shutdown.
        skin_c: of a phone's surface.
        battery_percent: charge; `battery_c` its temperature.
        low_power: whether the system saves power.
        awake: whether the screen is on.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that decides what a number means, except the model that was timed.

    Attributes:
        affinity: the cores the runner was pinned to; empty if it was not.
        reference: key of the model whose runs alternate with the timed one's.
        realtime: whether ordinary programs were kept off the cores meanwhile.
        delegate: accelerator that ran the whole model; None is the runtime's own.
        runner: program that timed, with its version; None is this package in its own process.
        alternation: what model and reference model took turns by.
        clocks: `fixed` while the device held them at a level that it can sustain.
        held_governor: that of the device file, while all cores had it; None is the device's own.
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
        # They become parts of paths and of commands to type.
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
        """Twelve hexadecimal digits; equal setups have equal ones."""
        text = json.dumps(plain(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def job(self, subject: str, round_: int) -> str:
        """Name one visit: 24 hexadecimal digits for model, setup and round."""
        return hashlib.sha256(f"{self.id}:{subject}:{round_}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One visit to a model: its runs, and those of the reference model between them.

    Attributes:
        job: what `Setup.job` returns.
        setup: the setup's id.
        subject: operation key or network key.
        samples_ns: single runs of the model, in order.
        reference_ns: single runs of the reference model, in order.
        disturbed: further runs thrown away, for another program had the core meanwhile.
        started: UTC, ISO 8601; `ended` likewise.
        before: conditions last read before the visit; `after` first read after it.
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
        """Median of the model's runs."""
        return median(self.samples_ns)

    @property
    def ratio(self) -> float:
        """The model's lower quartile over the reference model's.

        Not medians: what disturbs a run only ever adds to it, and a long run is disturbed more.
        """
        return lower_quartile(self.samples_ns) / lower_quartile(self.reference_ns)

    def doubts(self) -> tuple[str, ...]:
        """Reasons to distrust this visit, each with what to do; empty if there is none."""
        reasons = []
        kept = len(self.samples_ns) + len(self.reference_ns)
        if self.disturbed > kept:
            reasons.append(
                f"{self.disturbed} of {self.disturbed + kept} runs were interrupted: "
                "stop other programs, run again"
            )
        for name, series in (("model", self.samples_ns), ("reference", self.reference_ns)):
            middle = median(series)
            spread = median(abs(each - middle) for each in series) / middle
            if spread > MAX_SPREAD:
                reasons.append(
                    f"{name} runs spread {spread:.0%}, over {MAX_SPREAD:.0%}: "
                    "stop other programs, pin clocks, run again"
                )
            if (tail := max(series) / middle) > MAX_TAIL:
                reasons.append(
                    f"slowest {name} run is {tail:.1f} times the median: look for throttling"
                )
        heat = _heating_c(self.before, self.after)
        if heat is not None and heat > MAX_HEATING_C:
            reasons.append(f"it grew {heat:.0f} °C hotter: let the device cool down, run again")
        return tuple(reasons)


def lower_quartile(series: Sequence[int]) -> float:
    """Return the value a quarter up the sorted series, between its neighbours if need be.

    >>> lower_quartile([30, 10, 20, 50, 40])
    20.0
    """
    ordered = sorted(series)
    whole, part = divmod((len(ordered) - 1) * 0.25, 1)
    low, high = ordered[int(whole)], ordered[min(int(whole) + 1, len(ordered) - 1)]
    return low + part * (high - low)


def _heating_c(before: Conditions | None, after: Conditions | None) -> float | None:
    if before is None or after is None:
        return None
    if before.temperature_c is None or after.temperature_c is None:
        return None
    return after.temperature_c - before.temperature_c


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRun:
    """What one profile set out to measure; a table is built from it and the measurements.

    Attributes:
        ops: operation keys to time, the most telling ones first if there is a budget.
        overhead: key of the operation with next to no work; its time is that of starting a run.
        calibration: genomes of the networks that the calibration is fitted on.
        validation: genomes of the networks that the table is judged on.
        filled: further keys of the table, to be filled from the timed ones and `sources`.
        target_error: stop timing once held-out entries are predicted with this mean error.
        sources: paths of other devices' tables, and the id of each.
        seed: of the choice of `ops` and of what fills the rest.
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
        """Keys of everything that is timed: operations, then networks."""
        genomes = self.calibration + self.validation
        return (*self.ops, self.overhead, *map(self.network, genomes))

    def network(self, genome: str) -> str:
        """Key of a whole network of this run."""
        return network_key(self.space, genome, classes=self.classes, batch=self.setup.batch)


def plain(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass that holds setups
    """Return a record as nested dictionaries, without what an older version would not know.

    So that an identity taken of them stays what it was.
    """
    return asdict(record, dict_factory=_known)


def _known(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if key not in _LATER or value != _LATER[key]}


def network_key(space: str, genome: str, *, classes: int, batch: int = 1) -> str:
    """Canonical text of a whole network, the counterpart of `OpSpec.key`."""
    return f"network|{space}|{genome}|classes={classes}|batch={batch}"
