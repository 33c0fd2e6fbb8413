"""Simulate a device that heats up and throttles; compare hwnat's profiling with a naive one.

python benchmarks/conditions.py [--seeds N] [--uneven SHARE] [--json]

The simulated device grows 12 % slower from the first visit to the last, and loses 20 to 40 % of
its speed in random episodes that fill up to a third of the session. A run takes the model's time
at full speed, divided by the current speed, with noise that is only rarely large. Both methods
time the same 40 models and keep the same number of samples:

- naive: one model after the other, all its runs in a row, and their median;
- hwnat: hwnat's own code. It visits models in shuffled rounds, follows each run with one of the
  reference model, repeats the visits that `unsteady` refuses at the end, and makes entries as in a
  table. Half of the samples it keeps are the reference model's.

Errors are relative to a model's time at the device's median speed over the method's own session,
which is the value that a table claims to hold. With --uneven 0.1, models slow down by different
powers of the device's slowness, from 0.9 to 1.1, like models limited by memory or by compute.
"""

import argparse
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.device.steady import unsteady
from hwnat.profile.paired import shuffled_rounds
from hwnat.records.measurement import Conditions, Measurement
from hwnat.table.build import entry, reference_latency_ns

MODELS: Final = 40
ROUNDS: Final = 8
RUNS: Final = 5
RAMP: Final = 0.12
#: Least and most share of the speed that an episode takes away.
LOSS: Final = (0.2, 0.4)
#: Share of a session that is throttled, and share that one episode lasts.
THROTTLED: Final = 1 / 3
EPISODE: Final = (0.01, 0.05)
REFERENCE_NS: Final = 20e6
NOISE: Final = 0.01
#: Share of runs that are disturbed, and how much of its time a disturbed run gains at most.
OUTLIERS: Final = 0.05
OUTLIER: Final = 0.5


@dataclass(slots=True)
class Device:
    """A device at one moment of its session.

    Attributes:
        session_ns: length of the session at full speed; afterwards the device gets no slower.
        episodes: (begin, end, speed left) of each episode; times are fractions of a session.
    """

    rng: np.random.Generator
    session_ns: float
    episodes: Sequence[tuple[float, float, float]]
    at_ns: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, *, session_ns: float) -> "Device":
        """Make a device with random episodes."""
        episodes, sum_ = [], 0.0
        while sum_ < THROTTLED:
            length, begin = rng.uniform(*EPISODE), rng.uniform(0.0, 1.0)
            episodes.append((begin, begin + length, 1.0 - rng.uniform(*LOSS)))
            sum_ += length
        return cls(rng, session_ns, episodes)

    def slowness(self, part: float) -> float:
        """Return the run time at a fraction of the session, as a multiple of that at full speed."""
        left = min([speed for a, b, speed in self.episodes if a <= part < b], default=1.0)
        return (1.0 + RAMP * min(part, 1.0)) / left

    def usual(self) -> float:
        """Return the median slowness over the session so far."""
        ended = self.at_ns / self.session_ns
        return float(np.median([self.slowness(part) for part in np.linspace(0.0, ended, 2000)]))

    def run(self, full_speed_ns: float, power: float) -> int:
        """Return the time of a run in ns, and advance the device by it."""
        noise = 1.0 + NOISE * abs(self.rng.standard_normal())
        if self.rng.random() < OUTLIERS:
            noise += OUTLIER * self.rng.random()
        ns = full_speed_ns * self.slowness(self.at_ns / self.session_ns) ** power * noise
        self.at_ns += ns
        return round(ns)


def naive(device: Device, models: npt.NDArray[np.float64], powers: Sequence[float]) -> list[float]:
    """Return the median of each model, timed one after the other.

    Args:
        device: the device at the start of its session.
        models: (n,) nanoseconds at full speed.
        powers: (n,) power of the slowness by which each model slows down.
    """
    runs = 2 * ROUNDS * RUNS
    return [
        float(np.median([device.run(ns, power) for _ in range(runs)]))
        for ns, power in zip(models, powers, strict=True)
    ]


def table(
    device: Device,
    models: npt.NDArray[np.float64],
    powers: Sequence[float],
    *,
    rng: np.random.Generator,
) -> tuple[list[float], int]:
    """Return each model's entry in ns, and the number of repeated visits."""
    subjects = [str(index) for index in range(len(models))]
    due = deque(shuffled_rounds(subjects, ROUNDS, rng=rng))
    visits: dict[str, list[Measurement]] = {subject: [] for subject in subjects}
    again = 0
    while due:
        round_, subject = due.popleft()
        made = visit(device, models[int(subject)], powers[int(subject)], round_, subject)
        if unsteady(made) is None:
            visits[subject].append(made)
        else:
            again += 1
            due.append((round_, subject))
    reference_ns = reference_latency_ns([each for found in visits.values() for each in found])
    return [float(entry(visits[s], reference_ns=reference_ns).p50_ns) for s in subjects], again


def visit(device: Device, ns: float, power: float, round_: int, subject: str) -> Measurement:
    """Time a model in alternation with the reference model."""
    pairs = [(device.run(ns, power), device.run(REFERENCE_NS, 1.0)) for _ in range(RUNS)]
    state = Conditions(at="")
    return Measurement(
        job=f"{subject}:{round_}",
        setup="",
        subject=subject,
        round=round_,
        samples_ns=tuple(first for first, _ in pairs),
        reference_ns=tuple(second for _, second in pairs),
        disturbed=0,
        started="",
        ended="",
        before=state,
        after=state,
    )


def compare(seed: int, *, uneven: float = 0.0) -> dict[str, float]:
    """Return the mean, 95th percentile and largest relative error, and the repeated visits.

    Args:
        seed: seed of the models, the device and the order.
        uneven: models slow down by powers of the device's slowness within 1 ± this value.
    """
    rng = np.random.default_rng(seed)
    models = np.exp(rng.uniform(np.log(1e6), np.log(100e6), MODELS))
    powers = [float(each) for each in rng.uniform(1 - uneven, 1 + uneven, MODELS)]
    runs = ROUNDS * RUNS
    # The ramp spans each method's own session.
    lengths = {"naive": 2 * runs * models.sum(), "hwnat": runs * (models + REFERENCE_NS).sum()}
    devices = {way: Device.draw(rng, session_ns=length) for way, length in lengths.items()}
    found, again = table(devices["hwnat"], models, powers, rng=rng)
    ways = {"naive": naive(devices["naive"], models, powers), "hwnat": found}
    errors = {
        way: np.abs(each / (models * np.power(devices[way].usual(), powers)) - 1)
        for way, each in ways.items()
    }
    return {
        **{f"{way} mean": float(each.mean()) for way, each in errors.items()},
        **{f"{way} p95": float(np.quantile(each, 0.95)) for way, each in errors.items()},
        **{f"{way} worst": float(each.max()) for way, each in errors.items()},
        "again": float(again),
    }


def main() -> None:
    """Print the errors of several sessions and how often each method met the limits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--uneven", type=float, default=0.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: list[dict[str, Any]] = [
        {"seed": seed, **compare(seed, uneven=asked.uneven)} for seed in range(asked.seeds)
    ]
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    names = [name for name in found[0] if name not in ("seed", "again")]
    print(f"{'seed':<8}" + "".join(f"{name:>14}" for name in names) + f"{'made again':>14}")
    for each in found:
        print(
            f"{each['seed']:<8}"
            + "".join(f"{each[name]:>14.2%}" for name in names)
            + f"{each['again']:>14.0f}"
        )
    for label, pick in (("median", np.median), ("largest", np.max), ("smallest", np.min)):
        print(f"{label:<8}" + "".join(f"{pick([e[n] for e in found]):>14.2%}" for n in names))


if __name__ == "__main__":
    main()
