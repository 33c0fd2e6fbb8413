"""Accuracy of a subnet: batch-norm recalibration, then top-1 on held-out images."""

from typing import Final

import torch
from torch import Tensor, nn

from hwnat.data.readers import Dataset, Images
from hwnat.errors import DataError
from hwnat.records.arch import Arch
from hwnat.supernet.finite import require_finite
from hwnat.supernet.inputs import network_inputs, normalise, resize
from hwnat.supernet.network import Supernet

#: Number of images that recalibrate batch norms, as in Once-for-All.
CALIBRATION_IMAGES: Final = 2000
_BATCH: Final = 250
_REMEDY: Final = "Its weights are unusable: train them again with a lower learning rate."


def calibration_images(data: Dataset, *, count: int = CALIBRATION_IMAGES, seed: int = 0) -> Tensor:
    """Draw training images; return (n, c, h, w) floats in 0..255 at their own size.

    Deviation: Once-for-All augments the images. Without augmentation, the statistics match those of
    the images to classify, which adds 0.3 points to the largest network's top-1 on Fashion-MNIST.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.train), generator=generator)[:count]
    return torch.from_numpy(data.train.pixels[order.numpy()]).float()


@torch.no_grad()
def recalibrate(network: nn.Module, batches: list[Tensor]) -> None:
    """Replace the running statistics of every batch norm in place.

    Each batch is normalised by its own mean and biased variance; the new statistics are the
    averages of these over the batches, weighted by batch size.

    Args:
        network: a plain network, not a supernet.
        batches: (b, 3, r, r) inputs at the network's own resolution.

    Source: Once-for-All, which also ignores the variance between batches.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {
        norm: [torch.zeros_like(norm.running_mean), torch.zeros_like(norm.running_var)]  # type: ignore[arg-type]
        for norm in norms
    }

    def record(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        sums[norm][0] += len(inputs[0]) * mean
        sums[norm][1] += len(inputs[0]) * variance
        norm.running_mean, norm.running_var = mean, variance

    hooks = [norm.register_forward_pre_hook(record) for norm in norms]
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    total = sum(map(len, batches))
    for norm in norms:
        norm.running_mean, norm.running_var = (value / total for value in sums[norm])
    require_finite(network.state_dict(), what="A recalibrated network", remedy=_REMEDY)


@torch.no_grad()
def top1(network: nn.Module, data: Dataset, images: Images, resolution: int) -> float:
    """Return the share of `images` classified correctly, 0..1.

    Raises:
        DataError: an output is not a finite number.
    """
    correct = 0
    for start in range(0, len(images), _BATCH):
        stop = start + _BATCH
        part = Images(pixels=images.pixels[start:stop], labels=images.labels[start:stop])
        logits = network(network_inputs(data, part, resolution))
        require_finite({"outputs": logits}, what="An evaluated network", remedy=_REMEDY)
        correct += int((logits.argmax(1).numpy() == part.labels).sum())
    return correct / len(images)


class Evaluator:
    """Extracts recalibrated networks for architectures and measures their accuracy.

    Calibration inputs are resized once per resolution and kept.

    Args:
        supernet: the shared weights, which are read at every call and never changed.
        data: the data set.
        calibration: number of training images that recalibrate the batch norms.
        seed: random seed for the choice of these images.

    Raises:
        DataError: weights and data have different numbers of classes.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Dataset,
        *,
        calibration: int = CALIBRATION_IMAGES,
        seed: int = 0,
    ) -> None:
        if supernet.classes != data.classes:
            msg = (
                f"The weights are for {supernet.classes} classes, but {data.name} has "
                f"{data.classes}. Use the data set that they were trained or adapted on."
            )
            raise DataError(msg)
        self.supernet, self.data = supernet, data
        self._pixels = calibration_images(data, count=calibration, seed=seed)
        self._batches: dict[int, list[Tensor]] = {}

    def subnet(self, arch: Arch) -> nn.Sequential:
        """Return the plain network of `arch` with copied weights and recalibrated batch norms."""
        resolution = arch.resolution
        if resolution not in self._batches:
            inputs = normalise(self.data, resize(self._pixels, resolution))
            self._batches[resolution] = list(inputs.split(_BATCH))
        network = self.supernet.extract(arch)
        recalibrate(network, self._batches[resolution])
        return network

    def error(self, arch: Arch, images: Images | None = None) -> float:
        """Return the top-1 error in percent on `images`, by default the validation part."""
        network = self.subnet(arch)
        part = self.data.validation if images is None else images
        return 100 * (1 - top1(network, self.data, part, arch.resolution))
