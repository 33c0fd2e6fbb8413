"""Compare NAT with random search and with NAT without adaptation.

All start from the shipped weights and get the demo's budget: the same number of evaluations.
Random search adapts to uniformly drawn networks for as many epochs as NAT does, and measures
others at the end. A second row adds the space's smallest and largest networks, which NAT starts
with, to its results.

    python benchmarks/search_quality.py --table TABLE --out FOLDER --seeds 0,1,2,3,4

prints one Markdown row per seed and method; run it again to resume. Hypervolume is in (error,
latency), with the reference point (40 % error, 1.01 x the largest network's latency).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnat.data.readers import load_dataset
from hwnat.records.arch import Arch
from hwnat.records.write import write_text
from hwnat.search.nat import REFERENCE_ERROR, Search, adaptation_recipe
from hwnat.search.pareto import hypervolume, non_dominated
from hwnat.search.run import DEMO_SCALE, SearchConfig
from hwnat.search.stage import prepare
from hwnat.supernet.adapt import Adapter

#: Networks that random search is unlikely to draw, measured last.
_EXTREMES = 2
METHODS = ("nat", "nat without adaptation", "random")


def main() -> None:
    """Run the missing searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True, help="latency table of mbv3-nano")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--data", default="digits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| seed | method | evaluations | hypervolume | on the test part | best test error % |")
    print("|---|---|---|---|---|---|")
    for seed in map(int, options.seeds.split(",")):
        for method in options.methods.split(","):
            row = run(method, seed, options.table, options.data, options.out)
            print_row(seed, method, row)
            if "told" in row:
                print_row(seed, f"{method}, told the extremes", row["told"])


def print_row(seed: int, method: str, row: dict[str, Any]) -> None:
    """Print one line of the table."""
    print(
        f"| {seed} | {method} | {row['evaluations']} | {row['validation']:.4f} "
        f"| {row['test']:.4f} | {row['best_test_error']:.2f} |",
        flush=True,
    )


def run(method: str, seed: int, table: str, data_name: str, out: Path) -> dict[str, Any]:
    """Return the scores of one search, reading them from disk if they are there."""
    folder = out / f"{method.replace(' ', '-')}-{seed}"
    result = folder / "score.json"
    if result.exists():
        return dict(json.loads(result.read_text()))
    config = SearchConfig(
        space="mbv3-nano",
        data=data_name,
        weights="mbv3-nano",
        objectives=("error", f"latency@{table}"),
        seed=seed,
        **DEMO_SCALE,
    )
    config = replace(config, adapt=method != "nat without adaptation")
    search = prepare(config, load_dataset(data_name), folder)
    genomes, errors = random(search) if method == "random" else nat(search)
    told = len(genomes) - (_EXTREMES if method == "random" else 0)
    score = evaluate(search, genomes[:told], errors[:told])
    if method == "random":
        score["told"] = evaluate(search, genomes, errors)
    write_text(result, json.dumps(score))
    return score


def nat(search: Search) -> tuple[np.ndarray, np.ndarray]:
    """Search to the end and return the last archive."""
    archive = search.run().archive
    return archive.genomes, archive.errors


def random(search: Search) -> tuple[np.ndarray, np.ndarray]:
    """Adapt to uniform networks for as many epochs as NAT, then measure as many as NAT."""
    config, space = search.config, search.space
    rounds = config.iterations + 1
    recipe = adaptation_recipe(config)
    adapter = Adapter(search.supernet, search.data, recipe, rounds=rounds)
    for index in range(rounds):
        adapter.adapt(index, lambda rng: [arch(search, space.sample(1, rng=rng)[0])])
    wanted = config.initial + config.iterations * config.archive
    rng = np.random.default_rng([config.seed, 99])
    drawn = space.sample(2 * wanted, rng=rng)
    _, first = np.unique(drawn, axis=0, return_index=True)
    genomes = np.vstack([drawn[np.sort(first)][:wanted], space.smallest(), space.largest()])
    errors = [search.evaluator.error(arch(search, genome)) for genome in genomes]
    return genomes, np.array(errors)


def evaluate(search: Search, genomes: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
    """Score the front with the errors that it was chosen by and with errors on the test part."""
    costs = search.costs(genomes, errors)
    front = np.flatnonzero(non_dominated(costs))
    test = np.array(
        [search.evaluator.error(arch(search, g), search.data.test) for g in genomes[front]]
    )
    reference = search.costs.reference(REFERENCE_ERROR, search.region.extremes()[-1])
    unit = np.ones(2)
    on_test = search.costs(genomes[front], test)
    config = search.config
    return {
        "evaluations": max(len(genomes), config.initial + config.iterations * config.archive),
        "validation": hypervolume(costs / reference, unit),
        "test": hypervolume(on_test / reference, unit),
        "best_test_error": float(test.min()),
        "front": costs[front].tolist(),
        "measured": costs.tolist(),
    }


def arch(search: Search, genome: np.ndarray) -> Arch:
    """Return the network of a row of genes."""
    return Arch(space=search.space, genome=tuple(map(int, genome)))


if __name__ == "__main__":
    main()
