"""Adapt shared weights to a task and to the networks in a search's archive.

Source: NAT (arXiv:2005.05859). Every batch trains one subnet, drawn gene by gene from the archive's
distribution, with plain cross-entropy. One cosine spans all iterations of the search.
"""

from pathlib import Path

from hwnat.data.readers import Dataset
from hwnat.supernet.network import Supernet
from hwnat.supernet.recipe import Recipe
from hwnat.supernet.train import Chooser, Trainer, load_state, save_state


class Adapter:
    """Trains a fixed number of epochs per call and keeps momentum between calls.

    Args:
        supernet: the weights, which are changed in place.
        data: the data set.
        rounds: number of calls of `adapt` that the cosine of the learning rate spans.
        recipe: training settings; `epochs` is for one call.
    """

    def __init__(self, supernet: Supernet, data: Dataset, recipe: Recipe, *, rounds: int) -> None:
        self._trainer = Trainer(supernet, data, recipe)
        self._steps = recipe.epochs * self._trainer.steps_per_epoch
        self._total = rounds * self._steps

    def adapt(self, index: int, choose: Chooser) -> None:
        """Run the epochs of call `index`, counted from 0."""
        first = index * self._steps
        self._trainer.run(choose, first=first, last=first + self._steps, total=self._total)

    def save(self, path: Path, *, index: int) -> None:
        """Write the weights and momenta after call `index`; the file is never half-written."""
        save_state(self._trainer, path, step=(index + 1) * self._steps)

    def load(self, path: Path) -> None:
        """Load a file that `save` wrote; the next call continues exactly.

        Raises:
            DataError: the file is missing, damaged or for other weights.
        """
        load_state(self._trainer, path)
