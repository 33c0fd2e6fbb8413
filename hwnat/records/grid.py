"""Every operation that a space can use, by its place in the network.

The shape of a block depends on the resolution, the width and its slot, but not on the blocks around
it. That makes a table of blocks finite and a sum over slots exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.op import OpSpec
from hwnat.records.space import MAX_BLOCK, MIN_BLOCK, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The operations of one resolution and width.

    Attributes:
        fixed: the operations that every network runs, in order.
        blocks: `blocks[slot][gene - 1]` is the block that `gene` selects for `slot`.
    """

    fixed: tuple[OpSpec, ...]
    blocks: tuple[tuple[OpSpec, ...], ...]

    def __iter__(self) -> Iterator[OpSpec]:
        yield from self.fixed
        for slot in self.blocks:
            yield from slot


def grid(space: Space, resolution: int, width_gene: int, *, classes: int, batch: int = 1) -> Grid:
    """List the operations that networks of this resolution and width are made of.

    Raises:
        UsageError: the space has no such resolution.
    """
    slots = space.genes - 2
    head = (resolution_gene(space, resolution), width_gene)
    # One network per gene, with that gene in every slot, covers every block exactly once.
    traced = [
        Arch(space=space, genome=(*head, *[gene] * slots)).ops(classes=classes, batch=batch)
        for gene in range(MIN_BLOCK, MAX_BLOCK + 1)
    ]
    return Grid(
        fixed=(*traced[0][:2], *traced[0][2 + slots :]),
        blocks=tuple(zip(*(ops[2 : 2 + slots] for ops in traced), strict=True)),
    )


def distinct_ops(
    space: Space, resolutions: Sequence[int], *, classes: int, batch: int = 1
) -> tuple[OpSpec, ...]:
    """List the distinct operations of a space at `resolutions`, in the order of the network."""
    by_key = {
        op.key: op
        for resolution in resolutions
        for width_gene, _ in space.skeletons
        for op in grid(space, resolution, width_gene, classes=classes, batch=batch)
    }
    return tuple(by_key.values())


def resolution_gene(space: Space, resolution: int) -> int:
    """Return the value of gene 0 that selects a resolution.

    Raises:
        UsageError: the space has no such resolution.
    """
    try:
        return space.resolutions.index(resolution)
    except ValueError:
        known = ", ".join(map(str, space.resolutions))
        msg = f"Space {space.name} has no resolution {resolution}; it has {known}."
        raise UsageError(msg) from None
