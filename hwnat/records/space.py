"""Search spaces as data: tables of stages, the layout of a genome, repair and sampling.

Source: the Once-for-All MobileNetV3 space and the 22-integer genome of Neural Architecture
Transfer (arXiv:2005.05859). To add a space, write a table here or register an entry point in
`hwnat.spaces`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat import plugins
from hwnat.errors import UsageError
from hwnat.records.kinds import Activation

Genomes = npt.NDArray[np.int64]

KERNELS: Final = (3, 5, 7)
EXPANDS: Final = (3, 4, 6)
MIN_DEPTH: Final = 2
MAX_DEPTH: Final = 4
#: Gene of the smallest (k3, e3) and the largest (k7, e6) block; 0 skips the block.
MIN_BLOCK: Final = 1
MAX_BLOCK: Final = len(KERNELS) * len(EXPANDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of up to four inverted residual blocks; the first one has the stride."""

    channels: int
    stride: int
    act: Activation
    se: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """The part of a network that a width fixes.

    Depths, kernels, expansions and the resolution are left to the genome.
    """

    width: float
    in_channels: int
    stem_channels: int
    stem_act: Activation
    first_act: Activation
    stages: tuple[Stage, ...]
    expand_channels: int
    mix_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A set of networks and the integers that name them.

    Genome: gene 0 indexes `resolutions`, gene 1 is the width (a key of `skeletons`), then four
    genes per stage: 0 skips a block, any other is `1 + kernel index + 3 * expand index`.
    The first two blocks of a stage are never skipped.

    Attributes:
        skeletons: (gene 1, skeleton) pairs, narrowest first.
    """

    name: str
    resolutions: tuple[int, ...]
    skeletons: tuple[tuple[int, Skeleton], ...]

    def __repr__(self) -> str:
        return f"Space({self.name}, {self.genes} genes, resolutions {self.resolutions})"

    @property
    def genes(self) -> int:
        """Length of a genome."""
        return 2 + MAX_DEPTH * self._stages

    @property
    def _stages(self) -> int:
        return len(self.skeletons[0][1].stages)

    def skeleton(self, width_gene: int) -> Skeleton:
        """Return the skeleton that gene 1 selects."""
        return dict(self.skeletons)[width_gene]

    @property
    def bounds(self) -> tuple[Genomes, Genomes]:
        """Lower and upper bound of every gene, both inclusive, shape (genes,)."""
        widths = [gene for gene, _ in self.skeletons]
        required = [MIN_BLOCK] * MIN_DEPTH + [0] * (MAX_DEPTH - MIN_DEPTH)
        low = [0, min(widths), *required * self._stages]
        high = [len(self.resolutions) - 1, max(widths), *[MAX_BLOCK] * MAX_DEPTH * self._stages]
        return np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)

    def repair(self, genomes: npt.ArrayLike) -> Genomes:
        """Clip genes to the bounds, and skip a fourth block if the third is skipped.

        Args:
            genomes: (n, genes) integers.

        Returns:
            A new (n, genes) array in canonical form: equal networks have equal rows.
        """
        low, high = self.bounds
        fixed = np.clip(np.asarray(genomes, dtype=np.int64), low, high)
        blocks = fixed[:, 2:].reshape(len(fixed), self._stages, MAX_DEPTH)
        for slot in range(MIN_DEPTH + 1, MAX_DEPTH):
            blocks[:, :, slot] *= blocks[:, :, slot - 1] != 0
        return fixed

    def check(self, genome: Sequence[int]) -> tuple[int, ...]:
        """Return `genome` in canonical form.

        Raises:
            UsageError: the genome has the wrong length, or a gene is out of range.
        """
        if len(genome) != self.genes:
            msg = f"Space {self.name} has {self.genes} genes; this genome has {len(genome)}."
            raise UsageError(msg)
        low, high = self.bounds
        for index, value in enumerate(genome):
            if not low[index] <= value <= high[index]:
                msg = (
                    f"Gene {index} of a {self.name} genome is {value}; "
                    f"it must lie in {low[index]}..{high[index]}."
                )
                raise UsageError(msg)
        return tuple(int(gene) for gene in self.repair([genome])[0])

    def sample(self, count: int, *, rng: np.random.Generator) -> Genomes:
        """Draw canonical genomes; depths, kernels and expansions are independent and uniform.

        Returns:
            (count, genes) integers; rows may repeat.
        """
        low, high = self.bounds
        drawn = rng.integers(np.maximum(low, 0), high + 1, size=(count, self.genes))
        blocks = drawn[:, 2:].reshape(count, self._stages, MAX_DEPTH)
        blocks[...] = rng.integers(MIN_BLOCK, MAX_BLOCK + 1, size=blocks.shape)
        depths = rng.integers(MIN_DEPTH, MAX_DEPTH + 1, size=blocks.shape[:2])
        blocks *= np.arange(MAX_DEPTH) < depths[:, :, None]
        return drawn.astype(np.int64)

    def smallest(self) -> tuple[int, ...]:
        """Return the genome whose genes are all minimal."""
        low, _ = self.bounds
        return tuple(int(gene) for gene in low)

    def largest(self) -> tuple[int, ...]:
        """Return the genome whose genes are all maximal."""
        _, high = self.bounds
        return tuple(int(gene) for gene in high)

    def decode(self, text: str) -> tuple[int, ...]:
        """Read the published string form: two digits for gene 0, one for each other gene.

        Raises:
            UsageError: `text` is not digits or has the wrong length, or a gene is out of range.
        """
        if not (text.isascii() and text.isdigit()) or len(text) != self.genes + 1:
            msg = (
                f"A {self.name} genome is written with {self.genes + 1} digits "
                f"(two for the resolution, one for each other gene); got {text[:60]!r}."
            )
            raise UsageError(msg)
        return self.check([int(text[:2]), *map(int, text[2:])])

    def encode(self, genome: Sequence[int]) -> str:
        """Return the published string form of a genome; the inverse of `decode`."""
        first, *rest = self.check(genome)
        return f"{first:02d}" + "".join(map(str, rest))


def get_space(name: str) -> Space:
    """Return the space registered as `name` in the entry-point group `hwnat.spaces`.

    Raises:
        UsageError: the space does not exist, or the plug-in does not return a `Space`.
    """
    plugin = plugins.load("hwnat.spaces", name)
    space = plugin() if callable(plugin) else plugin
    if not isinstance(space, Space):
        msg = f"Plug-in '{name}' of hwnat.spaces returned {type(space).__name__}, not a Space."
        raise UsageError(msg)
    return space


def _skeleton(
    width: float,
    stem: int,
    stages: Sequence[int],
    head: tuple[int, int],
    strides: Sequence[int] = (2, 2, 2, 1, 2),
) -> Skeleton:
    """Build a MobileNetV3 skeleton with the activations and squeeze gates of Once-for-All."""
    rows: tuple[tuple[Activation, bool], ...] = (
        ("relu", False),
        ("relu", True),
        ("hswish", False),
        ("hswish", True),
        ("hswish", True),
    )
    return Skeleton(
        width=width,
        in_channels=3,
        stem_channels=stem,
        stem_act="hswish",
        first_act="relu",
        stages=tuple(
            Stage(channels=channels, stride=stride, act=act, se=se)
            for channels, stride, (act, se) in zip(stages, strides, rows, strict=True)
        ),
        expand_channels=head[0],
        mix_channels=head[1],
    )


_W10: Final = _skeleton(1.0, 16, (24, 40, 80, 112, 160), (960, 1280))
_W12: Final = _skeleton(1.2, 24, (32, 48, 96, 136, 192), (1152, 1536))
_NANO: Final = _skeleton(1.0, 16, (16, 16, 32, 40, 64), (192, 256), strides=(2, 1, 2, 1, 2))
_NAT_RESOLUTIONS: Final = tuple(range(192, 257, 4))

MBV3_W10: Final = Space(name="mbv3-w1.0", resolutions=_NAT_RESOLUTIONS, skeletons=((0, _W10),))
MBV3_W12: Final = Space(name="mbv3-w1.2", resolutions=_NAT_RESOLUTIONS, skeletons=((1, _W12),))
MBV3: Final = Space(name="mbv3", resolutions=_NAT_RESOLUTIONS, skeletons=((0, _W10), (1, _W12)))
MBV3_NANO: Final = Space(name="mbv3-nano", resolutions=(24, 28, 32), skeletons=((0, _NANO),))
