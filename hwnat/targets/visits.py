"""Protocols for what makes visits to models, and for the files of the models."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol

from hwnat.records.measurement import Measurement, Setup
from hwnat.targets.base import Session

#: Is given messages for the user, one line each.
Tell = Callable[[str], None]
#: (round, subject): a visit that is due.
Due = tuple[int, str]


class Files(Protocol):
    """The files of the models that are timed."""

    def path(self, key: str) -> Path:
        """Return the path of a subject's model, whether it exists or not."""
        ...

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with its input bound, and the size of its file."""
        ...


class Timer(Protocol):
    """Makes visits."""

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Return everything that decides what the measurements mean.

        Args:
            reference: key of the model whose runs alternate with those of the timed model.
            batch: of all models.
        """
        ...

    def visits(
        self, due: Sequence[Due], *, files: Files, setup: Setup, rounds: int, kept: bool = True
    ) -> Generator[Measurement, None, None]:
        """Make visits; store each one before you ask for the next.

        Args:
            due: the visits, in order.
            files: of their models and of the reference model.
            setup: what `setup` returned.
            rounds: of the whole profile; those of `due` may be fewer.
            kept: whether a later call with this setup may collect what this one did not yield.

        Yields:
            A measurement of each visit, in any order and none twice; also of earlier visits with
            this setup that were not stored.

        Raises:
            DeviceError: the device failed; what was yielded is valid.
        """
        ...
