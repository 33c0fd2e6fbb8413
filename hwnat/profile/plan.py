"""Plan the table of a space: operations to time, networks to calibrate and validate on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from hwnat.errors import UsageError
from hwnat.predict.transfer import MIN_TIMINGS, choose_timings
from hwnat.profile.budget import informative_order
from hwnat.records.arch import Arch
from hwnat.records.grid import distinct_ops, resolution_gene
from hwnat.records.op import OpSpec
from hwnat.records.space import Space
from hwnat.table.lookup import LatencyTable

#: A smaller budget leaves no timings to hold out.
LEAST_BUDGET: Final = 10
#: Draws per requested network before the space counts as too small.
_TRIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Operations and networks to time.

    Attributes:
        ops: distinct operations to time; with a budget, the most informative ones come first.
        calibration: random networks to fit the calibration on.
        validation: other random networks to validate the table on.
        overhead: the operation with almost no work; its latency is the cost of starting a run.
        reference: the network whose runs alternate with those of every other model.
        filled: other operations of the table, predicted from `ops` and `sources`.
        target_error: stop timing once the mean error of held-out entries is this small.
        sources: path of another device's table -> id of the table.
        seed: seed of the networks and of the prediction of `filled`.
    """

    space: Space
    resolutions: tuple[int, ...]
    classes: int
    batch: int
    ops: tuple[OpSpec, ...]
    overhead: OpSpec
    calibration: tuple[Arch, ...]
    validation: tuple[Arch, ...]
    reference: Arch
    filled: tuple[OpSpec, ...] = ()
    target_error: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0


def make_plan(  # noqa: PLR0913 - one keyword for each thing a profile may vary
    space: Space,
    resolutions: Sequence[int] = (),
    *,
    classes: int = 10,
    batch: int = 1,
    calibration: int = 10,
    validation: int = 0,
    seed: int = 0,
    extra: Sequence[str] = (),
    budget: int | None = None,
    target_error: float | None = None,
    sources: Mapping[str, LatencyTable] | None = None,
) -> Plan:
    """Plan the table of a space.

    Args:
        space: the search space.
        resolutions: resolutions to cover; without any, all of the space.
        classes: outputs of the classifier.
        batch: images per run.
        calibration: number of networks to fit the calibration on, from smallest to largest.
        validation: number of other random networks to validate the table on.
        seed: seed of the networks; calibration networks do not depend on `validation`.
        extra: keys of other operations to time.
        budget: most operations to time; the others are predicted. None times all.
        target_error: stop early once the mean error of held-out entries is this small.
        sources: path -> table of each device to transfer from; needs a budget.

    Raises:
        UsageError: the space lacks a resolution, or budget or error is invalid.
        DataError: `sources` cannot be combined.
    """
    resolutions = tuple(sorted(set(resolutions or space.resolutions)))
    ops = {op.key: op for op in distinct_ops(space, resolutions, classes=classes, batch=batch)}
    ops |= {key: OpSpec.from_key(key) for key in extra}
    timed = _timed(ops, extra=extra, budget=budget, sources=sources or {}, seed=seed)
    if target_error is not None and (not 0 < target_error < 1 or budget is None):
        msg = f"A target error of {target_error} needs a --budget and lies between 0 and 1."
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    ladder = ladder_networks(space, resolutions, calibration, rng=rng)
    unseen = random_networks(space, resolutions, validation, rng=rng, apart_from=ladder)
    return Plan(
        space=space,
        resolutions=resolutions,
        classes=classes,
        batch=batch,
        ops=timed,
        overhead=OpSpec(kind="mix", in_shape=(batch, 1, 1, 1), out_channels=1),
        calibration=ladder,
        validation=unseen,
        reference=reference_network(space, resolutions),
        filled=tuple(op for op in ops.values() if op not in set(timed)),
        target_error=target_error,
        sources={path: table.table_id for path, table in (sources or {}).items()},
        seed=seed,
    )


def _timed(
    ops: Mapping[str, OpSpec],
    *,
    extra: Sequence[str],
    budget: int | None,
    sources: Mapping[str, LatencyTable],
    seed: int,
) -> tuple[OpSpec, ...]:
    """Choose the operations to time: all, or the most informative ones within the budget.

    Raises:
        UsageError: the budget is too small, or sources have no budget or no common operations.
    """
    if sources and budget is None:
        msg = "A transfer times a few operations only: say how many with --budget, such as 30."
        raise UsageError(msg)
    if budget is None or budget >= len(ops):
        return tuple(ops.values())
    if budget < LEAST_BUDGET:
        msg = (
            f"A budget of {budget} timings is too small to predict {len(ops) - budget} other "
            f"operations from; allow at least {LEAST_BUDGET}."
        )
        raise UsageError(msg)
    if sources:
        # Operations that no source has must be timed.
        held = frozenset().union(*(table.entries for table in sources.values()))
        alone = [key for key in ops if key not in held]
        idle = [path for path, table in sources.items() if not ops.keys() & table.entries.keys()]
        if idle or len(alone) > budget - MIN_TIMINGS:
            what = f"{idle[0]} holds none" if idle else f"the sources lack {len(alone)}"
            msg = (
                f"Cannot transfer with {budget} timings: {what} of the {len(ops)} operations. "
                "Use tables of this space, batch and resolutions."
            )
            raise UsageError(msg)
        narrowed = [
            replace(table, entries={k: e for k, e in table.entries.items() if k in ops})
            for table in sources.values()
        ]
        chosen = choose_timings(narrowed, budget - len(alone), seed=seed)
        return tuple(ops[key] for key in dict.fromkeys((*extra, *alone, *chosen)))[:budget]
    first = tuple(OpSpec.from_key(key) for key in extra)
    rest = informative_order([op for op in ops.values() if op not in first])
    return (*first, *rest)[:budget]


def ladder_networks(
    space: Space, resolutions: Sequence[int], count: int, *, rng: np.random.Generator
) -> tuple[Arch, ...]:
    """Draw `count` networks from the smallest through random ones to the largest.

    Uniform draws are all of medium size, but a search ends among small ones. So each gene comes
    from a random network or, more often towards either end, from the extreme network there.
    """
    gene = [resolution_gene(space, size) for size in resolutions]
    ladder = []
    for step in np.linspace(0, 1, count) if count > 1 else [0.5] * count:
        end, at = (space.smallest(), gene[0]) if step <= 0.5 else (space.largest(), gene[-1])
        drawn = space.sample(1, rng=rng)[0]
        drawn[0] = rng.choice(gene)
        extreme = rng.random(space.genes) < abs(2 * step - 1)
        genome = np.where(extreme, (at, *end[1:]), drawn)
        ladder.append(Arch(space=space, genome=tuple(map(int, space.repair([genome])[0]))))
    return tuple(ladder)


def random_networks(
    space: Space,
    resolutions: Sequence[int],
    count: int,
    *,
    rng: np.random.Generator,
    apart_from: Sequence[Arch] = (),
) -> tuple[Arch, ...]:
    """Draw `count` distinct networks; resolutions, depths and blocks are uniform.

    Raises:
        UsageError: the space has too few networks besides `apart_from`.
    """
    genes = [resolution_gene(space, size) for size in resolutions]
    taken = {arch.genome for arch in apart_from}
    drawn: dict[tuple[int, ...], Arch] = {}
    for _ in range(_TRIES * count):
        if len(drawn) == count:
            break
        genome = space.sample(1, rng=rng)[0]
        genome[0] = rng.choice(genes)
        arch = Arch(space=space, genome=tuple(map(int, genome)))
        if arch.genome not in taken:
            drawn.setdefault(arch.genome, arch)
    if len(drawn) < count:
        msg = f"Found only {len(drawn)} of {count} distinct networks in space {space.name}."
        raise UsageError(msg)
    return tuple(drawn.values())


def reference_network(space: Space, resolutions: Sequence[int]) -> Arch:
    """Return the smallest network at the middle resolution.

    It is a whole network, so that a timed block starts with caches as cold as inside a network, and
    runs so long that its own time hardly depends on the model before it. It is the smallest one,
    because a profile spends half its time on the reference.
    """
    gene = resolution_gene(space, resolutions[len(resolutions) // 2])
    return Arch(space=space, genome=(gene, *space.smallest()[1:]))
