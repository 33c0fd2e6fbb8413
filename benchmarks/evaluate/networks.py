"""Assemble networks from the keys of a block table."""

from collections.abc import Sequence

import numpy as np

from hwnat.records.op import OpSpec

#: Most blocks in a network, and most repeats at one shape.
_LONGEST = 60
_REPEATS = 4


def chain_networks(
    keys: Sequence[str], count: int, *, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Draw networks as walks in which each block takes the output shape of the last.

    A walk starts at a block that no other leads to, with the largest images first. At each shape
    it repeats the kinds that keep the shape up to four times, then moves to another shape. It ends
    where no block follows. Walks of fewer than three blocks, or without an end after sixty, are
    drawn again, so the list is empty if the keys allow no such walk.
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
    """Return one network's keys, or none if the walk is too short or does not end."""
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
