"""The model files to time: exported once, and looked up by their operations."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

import hwnat
from hwnat.errors import UsageError
from hwnat.records.op import OpSpec
from hwnat.targets.base import Estimator, Session, Target
from hwnat.targets.inputs import random_feed

if TYPE_CHECKING:
    from torch import nn

#: Called with (stage, amount done, total).
Progress = Callable[[str, int, int], None]
#: Number of images that the batch norms of an untrained network are fitted to.
_STATISTICS_BATCH: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModels:
    """A folder of exported models, one file for each key."""

    target: Target
    folder: Path

    def path(self, key: str) -> Path:
        """Return the path of the model of an operation or network key."""
        # A new version of hwnat may export a different file for the same network.
        digest = hashlib.sha256(f"{hwnat.__version__}:{key}".encode()).hexdigest()[:20]
        return self.folder / f"{digest}-{self.target.precision}{self.target.suffix}"

    def export(self, sources: Mapping[str, Sequence[OpSpec]], *, progress: Progress) -> None:
        """Write the missing files, each whole or not at all.

        Args:
            sources: key -> its operations. The random weights depend only on the key.
            progress: called after each file.
        """
        missing = [key for key in sources if not self.path(key).exists()]
        for count, key in enumerate(missing, start=1 + len(sources) - len(missing)):
            ops = sources[key]
            batch, height, width, channels = ops[0].in_shape
            with seeded(key), one_thread():
                self.target.export(_module(ops), (batch, channels, height, width), self.path(key))
            progress("export", count, len(sources))

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with its inputs bound, and the size of its file."""
        path = self.path(key)
        return bound(self.target, path, threads=threads, seed=int(path.stem[:20], 16)), (
            path.stat().st_size
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsAndFiles:
    """Exported models and files from other folders, by key."""

    models: ExportedModels
    files: Mapping[str, Path]

    def path(self, key: str) -> Path:
        """Return the path of a model."""
        return self.files[key] if key in self.files else self.models.path(key)

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with its inputs bound, and the size of its file."""
        if key not in self.files:
            return self.models.load(key, threads=threads)
        path = self.files[key]
        return bound(self.models.target, path, threads=threads, seed=0), path.stat().st_size


def bound(target: Target, path: Path, *, threads: int, seed: int) -> Session:
    """Load a file and bind random inputs to it.

    Raises:
        UsageError: the target estimates, so this machine cannot time the file.
    """
    if isinstance(target, Estimator):
        msg = (
            f"Target {target.name} estimates latencies, and this machine cannot run its files. "
            "Profile a space with it: hwnat profile --device NAME --space NAME"
        )
        raise UsageError(msg)
    session = target.load(path, threads=threads)
    session.bind(random_feed(session.signature, np.random.default_rng(seed)))
    return session


def _module(ops: Sequence[OpSpec]) -> "nn.Module":
    """Build the module of an operation or network with batch norms fitted to random input.

    Without this, activations of deep untrained networks shrink towards denormal numbers, which
    take longer to compute.
    """
    import torch

    from hwnat.targets.modules.plain import network, op_module

    module = op_module(ops[0]) if len(ops) == 1 else network(ops)
    _, height, width, channels = ops[0].in_shape
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        module.train()(torch.randn(_STATISTICS_BATCH, channels, height, width))
    return module.eval()


@contextmanager
def seeded(text: str) -> Iterator[None]:
    """Seed torch's random numbers with `text`; restore its generator afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread; with models this small, threads wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
