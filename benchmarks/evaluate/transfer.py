"""Score the transfer of a device's table on published block tables of several devices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from evaluate.networks import chain_networks
from hwnat.errors import UsageError
from hwnat.predict.gaussian import Floats
from hwnat.predict.relation import relate, without_sources, work
from hwnat.predict.score import Agreement, Evaluation, Facts, agreement, evaluation
from hwnat.predict.transfer import choose_timings, expected, transfer
from hwnat.table.entry import Entry
from hwnat.table.importers.assemble import to_table
from hwnat.table.importers.base import Request, import_files
from hwnat.table.lookup import LatencyTable

FORMAT: Final = "nn-meter-blocks"
#: Networks assembled from the blocks.
_NETWORKS: Final = 200


def evaluate_transfer(
    sources: Sequence[Path], target: Path, *, budget: int, seed: int = 0
) -> Evaluation:
    """Score a transfer between files of the format `nn-meter-blocks`, one device each.

    Raises:
        DataError: a file is damaged, or the target and the sources share too little.
        UsageError: there is no source, or the budget leaves nothing to score.
    """
    paths = [*sources, target]
    if not sources or len({path.resolve() for path in paths}) < len(paths):
        msg = (
            "Name one or more sources, and another file as the target; got "
            f"{len(sources)} sources and {target}."
        )
        raise UsageError(msg)
    tables = [_imported(path) for path in paths]
    return score_transfer(tables[:-1], tables[-1], budget=budget, seed=seed)


def score_transfer(
    sources: Sequence[LatencyTable], target: LatencyTable, *, budget: int, seed: int = 0
) -> Evaluation:
    """Transfer to a device whose table is known, and score the blocks that were not timed.

    The plan sees only the sources. Blocks of the target that no source holds are left out and
    counted. Networks are walks through the keys (`chain_networks`). Their latency, predicted or
    measured, is the sum of their blocks, including timed ones. Their interval sums the ends of
    their blocks' intervals, as if all errors were equal, so it covers more than it claims.

    Raises:
        DataError: the target and the sources share too little.
        UsageError: the budget leaves nothing to score.
    """
    held = {key for table in sources for key in table.entries}
    common = [key for key in sorted(target.entries) if key in held]
    plan = [key for key in choose_timings(sources, budget, seed=seed) if key in target.entries]
    timed = {key: target.entries[key] for key in plan}
    rest = [key for key in common if key not in timed]
    if not rest:
        msg = (
            f"{len(common)} blocks in common and {len(plan)} timings leave nothing to score; "
            "lower the budget or name a larger target."
        )
        raise UsageError(msg)
    entries = transfer(sources, timed, keys=common, seed=seed)
    measured = np.array([target.entries[key].p50_ns for key in rest], np.float64)
    own = agreement(
        [entries[key].p50_ns for key in rest],
        measured,
        ([entries[key].low_ns for key in rest], [entries[key].high_ns for key in rest]),
    )
    plain = _plain_methods(sources, timed, rest)
    facts: Facts = {
        "format": FORMAT,
        "sources": [table.setup.device for table in sources],
        "target": target.setup.device,
        "budget": budget,
        "timed": len(timed),
        "seed": seed,
        "left_out": len(target.entries) - len(common),
    }
    return evaluation(
        own,
        baselines={name: agreement(found, measured) for name, found in plain.items()},
        facts={**facts, **_network_facts(common, entries, target, seed)},
    )


def _imported(path: Path) -> LatencyTable:
    found = import_files(FORMAT, [path], Request(device=path.stem))
    return to_table(found, created="")


def _plain_methods(
    sources: Sequence[LatencyTable], timed: Mapping[str, Entry], keys: Sequence[str]
) -> dict[str, Floats]:
    """Predict by simpler methods from the same timings; return (n,) latencies by method."""
    known = {key: entry.p50_ns for key, entry in timed.items()}
    rows = [*known, *keys]
    log = np.log([float(known[key]) for key in known])
    count = len(known)
    relation = relate(sources)
    places = {key: row for row, key in enumerate(relation.keys)}
    table_logs = relation.base[[places[key] for key in rows]]
    works = np.log([float(work(relation.ops[places[key]])) for key in rows])
    found = {
        "mean of sources, one factor": table_logs,
        "proportional to FLOPs": works,
    }
    shared = {
        f"{table.setup.device}, one factor": np.log([table.entries[key].p50_ns for key in rows])
        for table in sources
        if all(key in table.entries for key in rows)
    }
    if shared:
        spreads = {name: float(np.std(log - x[:count])) for name, x in shared.items()}
        found["nearest source, one factor"] = shared[min(spreads, key=spreads.__getitem__)]
    methods = {name: np.exp(x[count:] + np.median(log - x[:count])) for name, x in found.items()}
    if shared:
        methods["log-linear in sources"] = _log_linear(list(shared.values()), log)
    methods["timings alone"] = expected([without_sources(relation)], known, keys)[0]
    return methods


def _log_linear(columns: Sequence[Floats], log: Floats) -> Floats:
    """Fit the logs of the timings to the logs of the sources by least squares."""
    design = np.column_stack([*columns, np.ones(len(columns[0]))])
    weights = np.linalg.lstsq(design[: len(log)], log, rcond=None)[0]
    return np.asarray(np.exp(design[len(log) :] @ weights))


def _network_facts(
    keys: Sequence[str], entries: Mapping[str, Entry], target: LatencyTable, seed: int
) -> Facts:
    """Compare sums over networks; without figures if the keys allow no network."""
    networks = chain_networks(keys, _NETWORKS, rng=np.random.default_rng(seed))
    found: Agreement | None = None
    if networks:
        found = agreement(
            [sum(entries[key].p50_ns for key in each) for each in networks],
            [sum(target.entries[key].p50_ns for key in each) for each in networks],
            (
                [sum(entries[key].low_ns for key in each) for each in networks],
                [sum(entries[key].high_ns for key in each) for each in networks],
            ),
        )
    return {
        "networks": len(networks),
        "network_mape": None if found is None else found.mape,
        "network_bias": None if found is None else found.bias,
        "network_within5": None if found is None else found.within5,
        "network_within10": None if found is None else found.within10,
        "network_coverage90": None if found is None else found.coverage90,
        "network_kendall": None if found is None else found.kendall,
    }
