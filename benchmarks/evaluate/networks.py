"""Networks that the keys of a block table can be put together to."""

from collections.abc import Sequence

import numpy as np

from hwnat.records.op import OpSpec

#: Blocks in a network at most, and repeats at one shape.
_LONGEST = 60
_REPEATS = 4


def chain_networks(
    keys: Sequence[str], count: int, *, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Draw networks as walks from block to block, each taking the shape that the last one gives.

    A walk begins where no other block leads to, at the largest images first, repeats up to four
    times a round of the kinds that keep the shape, goes on to another shape, and ends where no
    block goes on. Walks of fewer than three blocks, and those not at an end after sixty, are
    drawn again; so the list is empty if the keys hold no such walk.
    """
    ops = [OpSpec.from_key(key) for key in sorted(keys)]
    made = {op.out_shape for op in ops if op.out_shape != op.in_shape}
    by_shape: dict[tuple[int, ...], list[OpSpec]] = {}
    for op in ops:
        by_shape.setdefault(op.in_shape, []).append(op)
    starts = [op for op in ops if op.in_shape not in made and op.out_shape in by_shape]
    if not starts:
        return []
    thin = min(op.in_shape[3] for op in starts)
    starts = [op for op in starts if op.in_shape[3] == thin]
    found: list[tuple[str, ...]] = []
    for _ in range(count * 20):
        walk = _walk(starts[int(rng.integers(len(starts)))], by_shape, rng)
        if walk:
            found.append(walk)
        if len(found) == count:
            break
    return found


def _walk(
    start: OpSpec, by_shape: dict[tuple[int, ...], list[OpSpec]], rng: np.random.Generator
) -> tuple[str, ...]:
    """Return one network's keys, none if it leads nowhere."""
    walk = [start.key]
    shape: tuple[int, ...] = start.out_shape
    while shape in by_shape and len(walk) <= _LONGEST:
        here = by_shape[shape]
        keeping: dict[str, list[OpSpec]] = {}
        for op in here:
            if op.out_shape == shape:
                keeping.setdefault(op.kind, []).append(op)
        for _ in range(int(rng.integers(_REPEATS + 1)) if keeping else 0):
            walk += [_any(keeping[kind], rng).key for kind in sorted(keeping)]
        leaving = [op for op in here if op.out_shape != shape]
        if not leaving:
            break
        op = _any(leaving, rng)
        walk.append(op.key)
        shape = op.out_shape
    return tuple(walk) if 3 <= len(walk) <= _LONGEST else ()


def _any(ops: Sequence[OpSpec], rng: np.random.Generator) -> OpSpec:
    return ops[int(rng.integers(len(ops)))]
