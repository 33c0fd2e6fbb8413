"""Networks with their measured errors, and sampling of similar networks."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError
from hwnat.records import parse
from hwnat.records.space import Genomes, Space, get_space

# History of the JSON form. Never edit an entry; add one and a migration.
#   1  genomes as published strings, each with its top-1 error in percent
ARCHIVE_SCHEMA: Final = 1
_ALL_PERCENT: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    genome: str
    error_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    schema: int
    space: str
    networks: tuple[_Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The networks that a search has measured with the current weights.

    Other costs than the error follow from the genomes, so they are not kept.

    Attributes:
        space: name of the space.
        genomes: (n, genes) canonical genomes without repeated rows; read-only.
        errors: (n,) measured top-1 errors in percent; read-only.

    Raises:
        DataError: the arrays disagree, a genome is not canonical or occurs twice, or an error
            is not a percentage.
        UsageError: the space is unknown.
    """

    space: str
    genomes: Genomes
    errors: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        space = get_space(self.space)
        genomes = np.array(self.genomes, dtype=np.int64)
        errors = np.array(self.errors, dtype=np.float64)
        if genomes.shape != (len(errors), space.genes) or errors.ndim != 1:
            msg = f"Archive of {self.space}: {genomes.shape} genes, {errors.shape} errors."
            raise DataError(msg)
        if (space.repair(genomes) != genomes).any():
            row = int(np.flatnonzero((space.repair(genomes) != genomes).any(axis=1))[0])
            msg = f"Archive of {self.space}: network {row} is not a canonical genome."
            raise DataError(msg)
        if len(np.unique(genomes, axis=0)) != len(genomes):
            msg = f"Archive of {self.space}: a network occurs twice."
            raise DataError(msg)
        # NaN fails this condition too.
        if not ((errors >= 0) & (errors <= _ALL_PERCENT)).all():
            msg = f"Archive of {self.space}: an error is not within 0..100 %."
            raise DataError(msg)
        for name, values in (("genomes", genomes), ("errors", errors)):
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def to_json(self) -> dict[str, Any]:
        """Return the form that `from_json` reads; errors keep all digits."""
        space = get_space(self.space)
        rows = zip(self.genomes.tolist(), self.errors.tolist(), strict=True)
        return {
            "schema": ARCHIVE_SCHEMA,
            "space": self.space,
            "networks": [
                {"genome": space.encode(genome), "error_percent": error} for genome, error in rows
            ],
        }

    @classmethod
    def from_json(cls, raw: object, *, where: str) -> "Archive":
        """Build an archive from decoded JSON.

        Args:
            raw: the decoded JSON.
            where: the file, for messages.

        Raises:
            DataError: a key is unknown or missing, the schema differs, or a value is invalid.
        """
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if isinstance(schema, int) and schema != ARCHIVE_SCHEMA:
            msg = f"{where}: archive schema {schema}; this hwnat reads {ARCHIVE_SCHEMA}."
            raise DataError(msg)
        file = parse.record(_File, raw, where=where)
        try:
            space = get_space(file.space)
            genomes = [space.decode(row.genome) for row in file.networks]
            return cls(
                space=file.space,
                genomes=np.array(genomes, dtype=np.int64).reshape(-1, space.genes),
                errors=np.array([row.error_percent for row in file.networks]),
            )
        except (DataError, UsageError) as refused:
            msg = f"{where}: {refused}"
            raise DataError(msg) from refused


def sample_like(space: Space, genomes: Genomes, count: int, *, rng: np.random.Generator) -> Genomes:
    """Draw each gene independently from its values in `genomes`, then repair.

    Args:
        space: space of the genomes.
        genomes: (n, genes) with n at least 1.
        count: number of rows to draw; they may repeat.
        rng: source of the draws.

    Returns:
        (count, genes) canonical genomes.

    Raises:
        UsageError: `genomes` is empty.

    Source: NAT samples networks for adaptation from the archive's per-gene categorical
    distribution.
    """
    if not len(genomes):
        msg = "Nothing to sample from: the archive is empty."
        raise UsageError(msg)
    # A gene of a uniformly drawn member is a draw from the histogram of that gene.
    members = rng.integers(len(genomes), size=(count, space.genes))
    return space.repair(np.take_along_axis(np.asarray(genomes), members, axis=0))
