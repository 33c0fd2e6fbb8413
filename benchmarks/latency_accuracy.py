"""Measure how well a table predicts unseen networks here, from ratios and from raw times.

    python benchmarks/latency_accuracy.py --target onnx --case mbv3-nano --case mbv3-w1.0:224

For each runtime and space, it measures a full table, 10 networks to calibrate on and 40 others to
predict. It evaluates the same visits twice: by ratios to the reference model, as hwnat does, and
by the plain median of the model's own runs. It prints one table; `--json` prints the figures.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from hwnat.device.probe import read_state
from hwnat.predict.score import Agreement, agreement
from hwnat.profile.measure import profile
from hwnat.profile.plan import Plan, make_plan
from hwnat.records.device import load_device
from hwnat.records.measurement import Measurement, network_key
from hwnat.records.space import get_space
from hwnat.records.store import Store
from hwnat.table.build import entry
from hwnat.table.calibrate import calibrate
from hwnat.table.lookup import LatencyTable
from hwnat.transport.local import LocalTransport

TARGETS = ("onnx", "tflite", "openvino")
CASES = ("mbv3-nano", "mbv3-w1.0:224")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One runtime on one space.

    Attributes:
        wall_s: time to export and measure everything, including the unseen networks.
        covered: share of networks whose measurement lies in the predicted 90 % interval.
        repeatability: mean relative difference of a network between even and odd rounds.
        load_1m: the machine's one-minute load average at the end.
    """

    runtime: str
    case: str
    entries: int
    wall_s: float
    load_1m: float | None
    calibration: str
    ratio: Agreement
    raw: Agreement
    covered: float
    repeatability: float
    raw_repeatability: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the requested cases and print their results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--case", action="append", help="SPACE or SPACE:RESOLUTION; repeat")
    parser.add_argument("--networks", type=int, default=40, help="unseen networks")
    parser.add_argument("--seed", type=int, default=0, help="of the networks")
    parser.add_argument("--cache", type=Path, help="folder of exported models to reuse")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for target in args.target or TARGETS:
            for case in args.case or CASES:
                space, _, size = case.partition(":")
                plan = make_plan(
                    get_space(space),
                    [int(size)] if size else [],
                    validation=args.networks,
                    seed=args.seed,
                )
                store = Path(scratch) / f"{target}-{len(results)}.sqlite"
                cache = args.cache or Path(scratch) / "models"
                results.append(run(target, case, plan, store=store, cache=cache))
                print(row(results[-1]), file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        print("\n".join([*HEADER, *map(row, results)]))
    return 0


def run(target: str, case: str, plan: Plan, *, store: Path, cache: Path) -> Result:
    """Measure one runtime and evaluate its visits both ways."""
    began = perf_counter()
    table = profile(load_device(f"host-{target}"), plan, store=store, cache=cache)
    wall_s = perf_counter() - began
    with Store(store) as db:
        (run,) = db.runs()
        visits: dict[str, list[Measurement]] = {}
        for each in db.measurements(run.setup.id, run.subjects):
            visits.setdefault(each.subject, []).append(each)
    predicted, measured = zip(*raw_predictions(plan, visits), strict=True)
    networks = [network_key(a.space.name, a.text, classes=plan.classes) for a in plan.validation]
    halves = [halved(visits[key], table) for key in networks]
    raw_halves = [raw_ns(visits[key][::2]) / raw_ns(visits[key][1::2]) - 1 for key in networks]
    return Result(
        runtime=f"{table.setup.runtime} {table.setup.runtime_version}",
        case=case,
        entries=len(table.entries),
        wall_s=round(wall_s, 1),
        load_1m=read_state(LocalTransport()).load_1m,
        calibration=table.calibration.form,
        ratio=agreement(
            [each.predicted_ns for each in table.validation],
            [each.measured_ns for each in table.validation],
        ),
        raw=agreement(predicted, measured),
        covered=covered(table),
        repeatability=sum(map(abs, halves)) / len(halves),
        raw_repeatability=sum(map(abs, raw_halves)) / len(raw_halves),
    )


def covered(table: LatencyTable) -> float:
    """Return the share of the unseen networks that their predicted interval covers."""
    half = table.calibration.half_width() or 0.0
    return sum(abs(each.error) <= half for each in table.validation) / len(table.validation)


def halved(visits: Sequence[Measurement], table: LatencyTable) -> float:
    """Return the relative difference of a model's latency between even and odd visits."""
    even, odd = (
        entry(half, reference_ns=table.reference_ns) for half in (visits[::2], visits[1::2])
    )
    return even.p50_ns / odd.p50_ns - 1


def raw_ns(visits: Sequence[Measurement]) -> float:
    """Return the median of a model's runs in ns, as a protocol without a reference reports it."""
    return median(ns for each in visits for ns in each.samples_ns)


def raw_predictions(
    plan: Plan, visits: dict[str, list[Measurement]]
) -> Iterator[tuple[float, float]]:
    """Yield (predicted, measured) ns of the unseen networks, from raw times alone.

    Apart from the ratio, it works as in a table: the overhead is subtracted, sums are calibrated.
    """
    overhead = raw_ns(visits[plan.overhead.key])
    blocks = {op.key: max(1.0, raw_ns(visits[op.key]) - overhead) for op in plan.ops}

    def facts(arch):  # noqa: ANN001, ANN202 - (genome, sum, operations, measured)
        ops = arch.ops(classes=plan.classes)
        key = network_key(arch.space.name, arch.text, classes=plan.classes)
        total = overhead + sum(blocks[op.key] for op in ops)
        return arch.text, round(total), len(ops), round(raw_ns(visits[key]))

    fit = calibrate(*map(list, zip(*map(facts, plan.calibration), strict=True)))  # type: ignore[arg-type]
    for _, total, count, measured in map(facts, plan.validation):
        yield float(fit.apply(total, count)), measured


HEADER = (
    "| runtime | networks | entries | wall s | load | mean error, raw → ratio | bias "
    "| within 5 % | within 10 % | Kendall | in 90 % interval | repeatability, raw → ratio |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)


def row(result: Result) -> str:
    """Format a result as a row of a Markdown table."""
    ratio, raw = result.ratio, result.raw
    cells = [
        result.runtime,
        f"{ratio.n} of {result.case}",
        result.entries,
        f"{result.wall_s:.0f}",
        result.load_1m,
        f"{raw.mape:.1%} → {ratio.mape:.1%}",
        f"{ratio.bias:+.1%}",
        f"{raw.within5:.0%} → {ratio.within5:.0%}",
        f"{raw.within10:.0%} → {ratio.within10:.0%}",
        f"{raw.kendall:.2f} → {ratio.kendall:.2f}",
        f"{result.covered:.0%}",
        f"{result.raw_repeatability:.1%} → {result.repeatability:.1%}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
