"""Functions that graphs of imported networks call, besides those that PyTorch has.

An importer appends them to a graph, and a writer recognises them by identity.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def take(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """Return the entries of an axis that an integer tensor of any shape names."""
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, index.reshape(-1)).reshape(shape)


def crop(x: Tensor, bounds: Sequence[tuple[int, int, int]]) -> Tensor:
    """Return x[start:stop:step] for the bounds of each axis; every step is positive."""
    return x[tuple(slice(*edges) for edges in bounds)]


def pad(x: Tensor, edges: Sequence[tuple[int, int]], value: float) -> Tensor:
    """Return a tensor with `value` before and after each axis."""
    flat = [count for pair in reversed(edges) for count in pair]
    return functional.pad(x, flat, value=value)


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor converted to another type."""
    return x.to(dtype)


def reduce(x: Tensor, kind: str, axes: Sequence[int], keep: bool) -> Tensor:
    """Reduce axes by MEAN, SUM, REDUCE_MAX, REDUCE_MIN or REDUCE_PROD."""
    if kind == "MEAN":
        return x.mean(tuple(axes), keepdim=keep)
    if kind == "SUM":
        return x.sum(tuple(axes), keepdim=keep, dtype=x.dtype)
    if kind == "REDUCE_PROD":
        for axis in sorted(axes, reverse=True):
            x = x.prod(axis, keepdim=keep, dtype=x.dtype)
        return x
    function = torch.amax if kind == "REDUCE_MAX" else torch.amin
    return function(x, tuple(axes), keepdim=keep)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Move channels into blocks of pixels; the position in the block is their slowest part."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, block, block, channels // block**2, height, width)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * block, width * block)


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """Move blocks of pixels into channels; the inverse of `depth_to_space`."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    moved = parts.permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(batch, -1, height // block, width // block)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Return x where it is positive, else slope * x; the slope broadcasts to x."""
    return torch.where(x > 0, x, slope * x)
