"""Protocols for timers, which make visits to models, and for the models' files."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol

from hwnat.records.measurement import Measurement, Setup
from hwnat.targets.base import Session

#: Receives messages for the user, one line at a time.
Tell = Callable[[str], None]
#: A visit to make: (round, subject).
Due = tuple[int, str]


class Files(Protocol):
    """The files of the models that are timed."""

    def path(self, key: str) -> Path:
        """Return the path of a subject's model, which may not exist yet."""
        ...

    def load(self, key: str, *, threads: int) -> tuple[Session, int]:
        """Return a session with its inputs bound, and the size of its file in bytes."""
        ...


class Timer(Protocol):
    """Makes visits: timed runs of one model beside the reference model."""

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Return every condition that the measurements depend on.

        Args:
            reference: key of the model whose runs alternate with those of the timed model.
            batch: images per run, for all models.
        """
        ...

    def visits(
        self, due: Sequence[Due], *, files: Files, setup: Setup, rounds: int, kept: bool = True
    ) -> Generator[Measurement, None, None]:
        """Make visits; store each measurement before you request the next.

        Args:
            due: the visits to make, in order.
            files: the files of the visited models and of the reference model.
            setup: the conditions that `setup` returned.
            rounds: rounds of the whole profile; `due` may cover only some of them.
            kept: whether a later call with this setup may yield what this call did not.

        Yields:
            One measurement for each visit, in any order, and for each earlier visit with this
            setup that has not been stored. No measurement is yielded twice.

        Raises:
            DeviceError: the device failed; the measurements yielded so far are valid.
        """
        ...
