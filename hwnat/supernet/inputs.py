"""Network inputs: images as tensors, resized, normalised and augmented."""

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hwnat.data.readers import Dataset, Images

#: Default strength of augmentation.
JITTER: Final = 0.1


def network_inputs(data: Dataset, images: Images, resolution: int) -> Tensor:
    """Return (n, 3, resolution, resolution) float32 network inputs."""
    return normalise(data, resize(torch.from_numpy(images.pixels.astype(np.float32)), resolution))


def normalise(data: Dataset, pixels: Tensor) -> Tensor:
    """Normalise pixels of 0..255 with the data set's mean and deviation; expand grey to RGB."""
    scaled = (pixels / 255 - data.mean) / data.std
    return scaled.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def resize(pixels: Tensor, resolution: int) -> Tensor:
    """Resize (n, c, h, w) floats bilinearly, with antialiasing if the images shrink."""
    if pixels.shape[-2:] == (resolution, resolution):
        return pixels
    return functional.interpolate(
        pixels, (resolution, resolution), mode="bilinear", antialias=True, align_corners=False
    )


def augment(
    pixels: Tensor,
    resolution: int,
    *,
    flip: bool,
    generator: torch.Generator,
    jitter: float = JITTER,
) -> Tensor:
    """Shift and scale each image at random, mirror it if `flip` is set, and resize it.

    Args:
        pixels: (n, c, h, w) floats.
        resolution: height and width of the result.
        flip: whether to mirror half of the images; do not use it for characters.
        generator: source of all random draws, four for each image.
        jitter: largest change of scale and position, as a fraction of the image.

    Returns:
        (n, c, resolution, resolution) floats; pixels outside the image are 0.
    """
    count = len(pixels)
    draws = torch.rand((count, 4), generator=generator)
    mirrored = (draws[:, 3] < 0.5) & torch.tensor(flip)
    if jitter == 0:
        chosen = mirrored.view(-1, 1, 1, 1)
        return resize(torch.where(chosen, pixels.flip(3), pixels), resolution)
    scale = 1 + jitter * (2 * draws[:, 0] - 1)
    shift = jitter * (2 * draws[:, 1:3] - 1)
    mirror = torch.where(mirrored, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * mirror, scale, shift
    grid = functional.affine_grid(theta, [count, 1, resolution, resolution], align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", align_corners=False)
