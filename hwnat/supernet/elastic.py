"""Cut the weights of a subnet out of those of the largest network.

Source: Once-for-All (arXiv:1908.09791): kernel transformation matrices, channel prefixes,
width sorting. Slices are differentiable views, so training and extraction share this code.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnat.targets.modules.plain import MBConv

#: Derived kernel sizes; each comes from the centre of the next larger one.
DERIVED_KERNELS = (5, 3)


def shrink_kernel(weight: Tensor, kernel: int, transforms: Mapping[int, Tensor]) -> Tensor:
    """Derive a smaller depthwise kernel: crop the centre, then mix its taps with a matrix.

    Args:
        weight: (channels, 1, 7, 7), the full kernel.
        kernel: 7, 5 or 3; 3 is cropped from the derived 5, not from 7.
        transforms: derived size k -> (k*k, k*k) matrix shared by all channels.

    Returns:
        (channels, 1, kernel, kernel), differentiable in both inputs.
    """
    for size in DERIVED_KERNELS:
        if weight.shape[-1] <= kernel:
            break
        centre = weight[:, :, 1:-1, 1:-1].flatten(2)
        weight = functional.linear(centre, transforms[size]).unflatten(2, (size, size))
    return weight


def cut(
    full: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], transforms: Mapping[int, Tensor]
) -> dict[str, Tensor]:
    """Return the leading slice of `full` with the given shape for each name in `shapes`.

    Active channels are a prefix; only the depthwise kernel goes through `shrink_kernel`.
    """
    state = {}
    for name, shape in shapes.items():
        source = full[name]
        if name == "depthwise.conv.weight" and transforms:
            source = shrink_kernel(source[: shape[0]], shape[-1], transforms)
        state[name] = source[tuple(slice(size) for size in shape)]
    return state


def channel_order(importance: Tensor, unlocked: Sequence[int]) -> Tensor:
    """Rank channels by importance; none moves across the end of an unlocked prefix.

    Args:
        importance: (channels,) at least 0.
        unlocked: lengths of the prefixes that smaller networks already use; members stay.

    Returns:
        (channels,) indices, a permutation.
    """
    bounds = [0, *sorted({size for size in unlocked if size < len(importance)}), len(importance)]
    pieces = [
        low + torch.argsort(importance[low:high], descending=True, stable=True)
        for low, high in pairwise(bounds)
    ]
    return torch.cat(pieces)


@torch.no_grad()
def sort_block(block: MBConv, unlocked: Sequence[int] = ()) -> None:
    """Permute the middle channels of `block` in place without changing its output.

    The importance of a channel is the L1 norm of the projection weights that read it, or inside the
    squeeze, of the expansion weights that read it.
    """
    order = channel_order(_read_by(block, "project.conv"), unlocked)
    _permute(block, "project.conv", order, inputs=True)
    for part in ("expand.conv", "expand.bn", "depthwise.conv", "depthwise.bn"):
        _permute(block, part, order)
    if isinstance(block.se, nn.Identity):
        return
    _permute(block, "se.expand", order)
    _permute(block, "se.reduce", order, inputs=True)
    squeezed = channel_order(_read_by(block, "se.expand"), ())
    _permute(block, "se.reduce", squeezed)
    _permute(block, "se.expand", squeezed, inputs=True)


def _read_by(block: MBConv, part: str) -> Tensor:
    """Return the L1 norm of the weights that read each input channel of a convolution."""
    return block.get_parameter(f"{part}.weight").abs().sum((0, 2, 3))


def _permute(block: MBConv, part: str, order: Tensor, *, inputs: bool = False) -> None:
    """Reorder a part's per-channel tensors along its outputs, or its weight's inputs."""
    for name, tensor in block.get_submodule(part).state_dict().items():
        if inputs and name == "weight":
            tensor.copy_(tensor[:, order])
        elif not inputs and tensor.ndim:
            tensor.copy_(tensor[order])
