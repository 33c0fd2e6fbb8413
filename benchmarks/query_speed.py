"""Time latency queries on one core: a string-keyed dict, a batch, and one network at a time.

python benchmarks/query_speed.py [--table TABLE] [--json]

Without a table, it makes up entries for every resolution of mbv3-w1.0, because their values do not
matter here. The contenders take turns. Times are this process's CPU seconds, so waiting for other
processes does not count. The dict is the simplest form of such a table: it makes a string key for
each block of each network and looks it up. The script checks that all give the same nanoseconds.
Queries on the decomposition by slot are timed as well: a lower bound of a genome with half of its
genes open, the best score under the median latency, and the whole front.
"""

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.bounds import LatencyBounds
from hwnat.predict.limit import best_under, score_front
from hwnat.records.device import TimingProtocol
from hwnat.records.grid import distinct_ops, grid
from hwnat.records.measurement import Host, Setup
from hwnat.records.space import MBV3_W10, Space
from hwnat.table.calibrate import Calibration, NetworkCheck
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable, load_table

BATCH, FEW, ROUNDS = 200_000, 2_000, 15
BARS = {"batch networks/s": 1e6, "batch over dict": 10.0, "single µs": 500.0}


def main() -> None:
    """Print medians over rounds, and the speed-up of a batch over the dict."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", help="a block table; entries are made up without one")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    table = load_table(asked.table) if asked.table else made_up(MBV3_W10)
    begin = process_time()
    predictor = AdditivePredictor(table)
    compile_ms = (process_time() - begin) * 1e3
    taken = take_turns(contenders(predictor), rounds=asked.rounds)
    per_s = {name: spread([1 / t for t in taken[name]]) for name in ("dict", "batch", "interval")}
    ratios = {n: [d / t for d, t in zip(taken["dict"], taken[n], strict=True)] for n in per_s}
    found = {
        "space": predictor.space.name,
        "resolutions": len(table.resolutions),
        "rounds": asked.rounds,
        "networks_per_s": per_s,
        "over_dict": {name: spread(values) for name, values in ratios.items()},
        "us": {n: spread([t * 1e6 for t in taken[n]]) for n in taken if n not in per_s},
        "compile_ms": compile_ms,
        "bars": BARS,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(json.dumps(found, indent=2) if asked.json else as_text(found))


def as_text(found: dict[str, Any]) -> str:
    """Format the results as median (lowest to highest)."""
    lines = [f"{found['space']}, {found['resolutions']} resolutions, {found['rounds']} rounds"]
    for name, (low, middle, high) in found["networks_per_s"].items():
        _, ratio, _ = found["over_dict"][name]
        lines.append(
            f"{name:18} {middle:12,.0f} networks/s ({low:,.0f} to {high:,.0f}), {ratio:.0f} x dict"
        )
    for name, (low, middle, high) in found["us"].items():
        lines.append(f"{name:18} {middle:12,.1f} µs ({low:,.1f} to {high:,.1f})")
    bars = ", ".join(f"{name} {bar:,.0f}" for name, bar in found["bars"].items())
    return "\n".join([*lines, f"compiling the table: {found['compile_ms']:.0f} ms; bars: {bars}"])


def contenders(predictor: AdditivePredictor) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return the contenders, each with its number of answers per turn."""
    table, space, rng = predictor.table, predictor.space, np.random.default_rng(0)
    genomes = space.sample(BATCH, rng=rng)
    genomes[:, 0] = rng.choice([space.resolutions.index(r) for r in table.resolutions], BATCH)
    few, strings = genomes[:FEW], string_keyed(table, space)
    arrays, lists = [row[None] for row in few], [[row] for row in few.tolist()]
    expected = predictor.latency_ns(genomes)
    assert by_dict(few, strings, table, space).tolist() == expected[:FEW].tolist()
    assert [predictor.latency_ns(row).item() for row in arrays] == expected[:FEW].tolist()
    costs, one = predictor.slot_costs(), predictor.slot_costs(table.resolutions[-1:])
    bounds, opened = LatencyBounds(costs), np.where(rng.random(few.shape) < 0.5, -1, few)
    scores = np.sqrt(costs.block_ns.mean(axis=1)) * rng.normal(1, 0.05, costs.block_ns.shape[::2])
    limit_ns = float(np.median(expected))
    return {
        "dict": (FEW, lambda: by_dict(few, strings, table, space)),
        "batch": (BATCH, lambda: predictor.latency_ns(genomes)),
        "interval": (BATCH, lambda: predictor.estimate(genomes)),
        "single, array": (FEW, lambda: [predictor.latency_ns(row) for row in arrays]),
        "single, list": (FEW, lambda: [predictor.latency_ns(row) for row in lists]),
        "lower bound": (FEW, lambda: bounds.least_ns(opened)),
        "best_under": (1, lambda: best_under(costs, scores, limit_ns=limit_ns)),
        "best_under, 1 res.": (1, lambda: best_under(one, scores, limit_ns=limit_ns)),
        "score_front": (1, lambda: score_front(costs, scores)),
        "score_front, 1 res": (1, lambda: score_front(one, scores)),
    }


def take_turns(
    runs: dict[str, tuple[int, Callable[[], object]]], *, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds per answer of each contender, one value per round."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (count, run) in runs.items():
            begin = process_time()
            run()
            taken[name].append((process_time() - begin) / count)
    return taken


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest, median and highest value."""
    return min(values), median(values), max(values)


def string_keyed(table: LatencyTable, space: Space) -> dict[str, int]:
    """Return the table in the form of published ones: a string key for each block and the rest."""
    costs: dict[str, int] = {}
    for size in table.resolutions:
        for width, _ in space.skeletons:
            here = grid(space, size, width, classes=table.of_space()[1])
            costs[f"fixed-{size}-{width}"] = sum(table.entries[o.key].p50_ns for o in here.fixed)
            for slot, blocks in enumerate(here.blocks):
                for gene, block in enumerate(blocks, start=1):
                    costs[f"{slot}-{size}-{width}-{gene}"] = table.entries[block.key].p50_ns
    return costs


def by_dict(
    genomes: npt.NDArray[np.int64], costs: dict[str, int], table: LatencyTable, space: Space
) -> npt.NDArray[np.float64]:
    """Predict with a string key for each block; only checks that each key exists."""
    sums, ops = [], []
    for resolution, width, *blocks in genomes.tolist():
        size = space.resolutions[resolution]
        total, count = table.overhead_ns + costs[f"fixed-{size}-{width}"], 5
        for slot, gene in enumerate(blocks):
            if gene:
                total += costs[f"{slot}-{size}-{width}-{gene}"]
                count += 1
        sums.append(total)
        ops.append(count)
    return table.calibration.apply(sums, ops)


def made_up(space: Space) -> LatencyTable:
    """Return a full table of random entries, calibrated on ten made-up networks."""
    rng = np.random.default_rng(1)
    keys = [op.key for op in distinct_ops(space, space.resolutions, classes=1000)]
    entries = {}
    for key, ns in zip(keys, rng.integers(10_000, 2_000_000, len(keys)).tolist(), strict=True):
        low, high = ns - ns // 100, ns + ns // 100
        entries[key] = Entry(
            p10_ns=low, p50_ns=ns, p90_ns=high, low_ns=low, high_ns=high, n=10, spread=0.01
        )
    networks = tuple(
        NetworkCheck(
            genome=space.encode(genome),
            sum_ns=20_000_000,
            ops=20,
            measured_ns=20_000_000,
            predicted_ns=20_000_000.0,
            error=0.01,
        )
        for genome in space.sample(10, rng=rng).tolist()
    )
    host = Host(cpu="none", cores=1, machine="none", os="none")
    return LatencyTable(
        setup=Setup(
            device="made-up",
            host=host,
            target="none",
            runtime="none",
            runtime_version="0",
            threads=1,
            affinity=(0,),
            precision="fp32",
            batch=1,
            runs=1,
            warmup=1,
            visit_ms=1.0,
            reference="none",
        ),
        protocol=TimingProtocol(),
        space=space.name,
        classes=1000,
        resolutions=space.resolutions,
        granularity="block",
        reference_ns=1_000_000,
        overhead_ns=5_000,
        entries=entries,
        calibration=Calibration(form="affine", scale=0.95, per_op_ns=300.0, networks=networks),
        validation=(),
        conditions=(None, None),
        hwnat="0",
        created="2026-01-01T00:00:00+00:00",
    )


if __name__ == "__main__":
    main()
