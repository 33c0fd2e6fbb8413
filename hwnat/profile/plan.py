"""What has to be timed for the table of a space, and on which networks it is checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.grid import distinct_ops, resolution_gene
from hwnat.records.op import OpSpec
from hwnat.records.space import Space

#: Draws per network asked for before the space counts as too small for so many.
_TRIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Operations and networks to time.

    Attributes:
        ops: distinct operations, none twice.
        calibration: random networks that the calibration is fitted on.
        validation: further random networks, none of them in `calibration`.
        overhead: the operation with next to no work: what it takes, every run takes to start.
        reference: the network whose runs alternate with every other model's.
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
) -> Plan:
    """Plan the full table of a space.

    Args:
        space: its networks.
        resolutions: those to cover; none means all of the space.
        classes: outputs of the classifier.
        batch: images per run.
        calibration: random networks to fit the calibration on.
        validation: further random networks to judge the table by.
        seed: of the random networks; the first ones do not depend on how many are drawn.
        extra: keys of further operations to time.
        budget: refuse a plan of more distinct operations.

    Raises:
        UsageError: a resolution the space lacks, or more operations than the budget.
    """
    resolutions = tuple(sorted(set(resolutions or space.resolutions)))
    ops = {op.key: op for op in distinct_ops(space, resolutions, classes=classes, batch=batch)}
    ops |= {key: OpSpec.from_key(key) for key in extra}
    if budget is not None and len(ops) > budget:
        msg = (
            f"The table of {space.name} at resolutions {', '.join(map(str, resolutions))} needs "
            f"{len(ops)} timings, over the budget of {budget}: name fewer with --resolution."
        )
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    networks = random_networks(space, resolutions, calibration + validation, rng=rng)
    return Plan(
        space=space,
        resolutions=resolutions,
        classes=classes,
        batch=batch,
        ops=tuple(ops.values()),
        overhead=OpSpec(kind="mix", in_shape=(batch, 1, 1, 1), out_channels=1),
        calibration=networks[:calibration],
        validation=networks[calibration:],
        reference=reference_network(space, resolutions),
    )


def random_networks(
    space: Space, resolutions: Sequence[int], count: int, *, rng: np.random.Generator
) -> tuple[Arch, ...]:
    """Draw `count` distinct networks; resolutions, depths and blocks are uniform.

    Raises:
        UsageError: the space does not hold so many.
    """
    genes = [resolution_gene(space, each) for each in resolutions]
    found: dict[tuple[int, ...], Arch] = {}
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        genome = space.sample(1, rng=rng)[0]
        genome[0] = rng.choice(genes)
        arch = Arch(space=space, genome=tuple(map(int, genome)))
        found.setdefault(arch.genome, arch)
    if len(found) < count:
        msg = f"Found only {len(found)} of {count} distinct networks in space {space.name}."
        raise UsageError(msg)
    return tuple(found.values())


def reference_network(space: Space, resolutions: Sequence[int]) -> Arch:
    """Return the smallest network at the middle resolution.

    A whole network, so that a block under test finds the caches as cold as inside a network,
    and long enough that its own time hardly depends on what ran before; the smallest, because
    half of a profile's time goes into the reference.
    """
    gene = resolution_gene(space, resolutions[len(resolutions) // 2])
    return Arch(space=space, genome=(gene, *space.smallest()[1:]))
