"""Time latency queries on one core: a string-keyed dict, a batch, and one network at a time.

python benchmarks/query_speed.py [--table TABLE] [--json]

Without a table, entries are made up for every resolution of mbv3-w1.0: their values do not matter
here. The contenders take turns; seconds are those of this process on the CPU, so that waiting for
others does not count. The dict is the plain way to keep such a table: block keys are strings,
made for each block of each network and looked up. All give the same nanoseconds; that is checked.
"""

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time

import numpy as np
import numpy.typing as npt

from hwnat.predict.additive import AdditivePredictor
from hwnat.records.device import TimingProtocol
from hwnat.records.grid import distinct_ops, grid
from hwnat.records.measurement import Host, Setup
from hwnat.records.space import MBV3_W10, Space
from hwnat.table.calibrate import Calibration, NetworkCheck
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable, load_table

BATCH, DICT, SINGLE, ROUNDS = 200_000, 2_000, 2_000, 15
BARS = {"batch_per_s": 5e6, "single_us": 20.0, "batch_over_dict": 100.0}


def main() -> None:
    """Print medians over rounds, and how many times faster a batch is than the dict."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", help="a block table; entries are made up without one")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    table = load_table(asked.table) if asked.table else made_up(MBV3_W10)
    found = compare(table, rounds=asked.rounds)
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['space']}, {found['resolutions']} resolutions, Python {found['python']},")
    print(f"numpy {found['numpy']}; {asked.rounds} alternating rounds: median (lowest to highest)")
    for name in ("dict", "batch", "batch_with_interval"):
        low, middle, high = found[f"{name}_per_s"]
        print(f"{name:20} {middle:12,.0f} networks/s   ({low:,.0f} to {high:,.0f})")
    for name in ("single_array", "single_list"):
        low, middle, high = found[f"{name}_us"]
        print(f"{name:20} {middle:12.1f} µs a network   ({low:.1f} to {high:.1f})")
    print(f"batch over dict: {found['batch_over_dict']:.0f} x; with intervals ", end="")
    print(f"{found['interval_over_dict']:.0f} x (bars: {BARS})")
    print(f"compiling the table: {found['compile_ms']:.0f} ms")


def compare(table: LatencyTable, *, rounds: int) -> dict[str, object]:
    """Let the contenders take turns; every figure is (lowest, median, highest) over rounds."""
    begin = process_time()
    predictor = AdditivePredictor(table)
    compile_ms = (process_time() - begin) * 1e3
    space, rng = predictor.space, np.random.default_rng(0)
    genomes = space.sample(BATCH, rng=rng)
    genomes[:, 0] = rng.choice([space.resolutions.index(r) for r in table.resolutions], BATCH)
    few, costs = genomes[:DICT], string_keyed(table, space)
    arrays = [row[None] for row in genomes[:SINGLE]]
    lists = [[row] for row in genomes[:SINGLE].tolist()]
    expected = predictor.latency_ns(genomes)
    assert by_dict(few, costs, table, space).tolist() == expected[:DICT].tolist()
    assert [predictor.latency_ns(row).item() for row in arrays] == expected[:SINGLE].tolist()
    contenders: dict[str, tuple[int, Callable[[], object]]] = {
        "dict": (DICT, lambda: by_dict(few, costs, table, space)),
        "batch": (BATCH, lambda: predictor.latency_ns(genomes)),
        "batch_with_interval": (BATCH, lambda: predictor.estimate(genomes)),
        "single_array": (SINGLE, lambda: [predictor.latency_ns(row) for row in arrays]),
        "single_list": (SINGLE, lambda: [predictor.latency_ns(row) for row in lists]),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (count, run) in contenders.items():
            begin = process_time()
            run()
            taken[name].append((process_time() - begin) / count)
    over = [d / b for d, b in zip(taken["dict"], taken["batch"], strict=True)]
    wide = [d / b for d, b in zip(taken["dict"], taken["batch_with_interval"], strict=True)]
    return {
        "space": space.name,
        "resolutions": len(table.resolutions),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "rounds": rounds,
        "n": {name: count for name, (count, _) in contenders.items()},
        **{f"{n}_per_s": spread([1 / t for t in taken[n]]) for n in contenders if n[0] != "s"},
        **{f"{n}_us": spread([t * 1e6 for t in taken[n]]) for n in contenders if n[0] == "s"},
        "batch_over_dict": median(over),
        "interval_over_dict": median(wide),
        "compile_ms": compile_ms,
        "bars": BARS,
    }


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lowest, median and highest."""
    return min(values), median(values), max(values)


def string_keyed(table: LatencyTable, space: Space) -> dict[str, int]:
    """Return the table as published ones are kept: a string for each block, and for the rest."""
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
    """Predict with a string for each block; validates nothing but that each key exists."""
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
    """Return a full table of random entries, calibrated on ten networks that never were."""
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
