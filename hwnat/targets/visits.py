"""What makes visits to models, and where it has their files from: protocols."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol

from hwnat.records.measurement import Measurement, Setup
from hwnat.targets.base import Session

#: Told in words what is going on, a line at a time.
Tell = Callable[[str], None]
#: (round, subject): a visit that is to be made.
Due = tuple[int, str]


class Files(Protocol):
    """The files of the models that are timed."""

    def path(self, key: str) -> Path:
        """Return where the model of a subject lies, whether it is there or not."""
        ...

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with its input bound, and the size of its file."""
        ...


class Timer(Protocol):
    """What makes visits."""

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Return everything that decides what its numbers mean.

        Args:
            reference: key of the model whose runs alternate with the timed one's.
            batch: of all models.
        """
        ...

    def visits(
        self, due: Sequence[Due], *, files: Files, setup: Setup, rounds: int, kept: bool = True
    ) -> Generator[Measurement, None, None]:
        """Make visits; each has to be kept before the next is asked for.

        Args:
            due: in the order in which they should be made.
            files: of their models and of the reference model.
            setup: what `setup` returned.
            rounds: of the whole profile; those of `due` may be fewer.
            kept: whether a later call with this setup may take over what this one did not yield.

        Yields:
            A measurement for each, in any order and none twice; and for further visits with this
            setup that were made earlier and not kept.

        Raises:
            DeviceError: the device failed; what was yielded is right.
        """
        ...
