"""A network of a space: its canonical genome, its stable id and the operations it runs."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnat.errors import UsageError
from hwnat.records.cost import Cost, total_cost
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.records.space import EXPANDS, KERNELS, MAX_DEPTH, Genomes, Skeleton, Space


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of `divisor`, but never below 90 % of the count.

    Source: Once-for-All, which rounds squeezed and expanded widths this way.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True, slots=True)
class Block:
    """Kernel size and expansion ratio of one active block."""

    kernel: int
    expand: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """A network of `space`. Its genome is canonical, so equal networks compare equal."""

    space: Space
    genome: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "genome", self.space.check(self.genome))

    @classmethod
    def from_text(cls, space: Space, text: str) -> "Arch":
        """Read a published genome string such as 08011001440551052208877."""
        return cls(space=space, genome=space.decode(text))

    @classmethod
    def of(
        cls, space: Space, network: "Arch | str | Sequence[int] | npt.NDArray[np.integer]"
    ) -> "Arch":
        """Return a network given as an `Arch`, a string of digits, or (genes,) integers.

        Raises:
            UsageError: `network` is not a genome of the space.
        """
        if isinstance(network, Arch):
            if network.space != space:
                msg = f"{network} is not a network of space {space.name}; use that space's tables."
                raise UsageError(msg)
            return network
        if isinstance(network, str):
            return cls.from_text(space, network)
        genes = np.asarray(network)
        if genes.ndim != 1 or genes.dtype.kind not in "iu":
            msg = (
                f"A {space.name} genome is {space.genes} integers, a string of digits or an Arch; "
                f"got an array of {genes.dtype} with shape {genes.shape}."
            )
            raise UsageError(msg)
        return cls(space=space, genome=tuple(genes.tolist()))

    @classmethod
    def from_subnet(cls, space: Space, subnet: dict[str, Any]) -> "Arch":
        """Read the published dict form.

        Args:
            space: the space the network belongs to.
            subnet: `r` is the resolution and `w`, which may be missing, the width. `d` holds the
                depth of each stage. `ks` and `e` hold the kernel size and the expansion ratio of
                each active block.

        Raises:
            UsageError: a value is not one of the space's choices, or the lists differ in length.
        """
        try:
            width = next(g for g, s in space.skeletons if s.width == subnet.get("w", s.width))
            genes = [space.resolutions.index(subnet["r"]), width]
            pairs = list(zip(subnet["ks"], subnet["e"], strict=True))
            if len(pairs) != sum(subnet["d"]):
                msg = f"ks and e hold {len(pairs)} blocks, d asks for {sum(subnet['d'])}"
                raise ValueError(msg)  # noqa: TRY301 - one message covers every fault
            for depth in subnet["d"]:
                active = [pairs.pop(0) for _ in range(depth)]
                codes = [1 + KERNELS.index(k) + 3 * EXPANDS.index(e) for k, e in active]
                genes += codes + [0] * (MAX_DEPTH - depth)
        except (KeyError, StopIteration, TypeError, ValueError) as error:
            msg = f"Not a subnet of space {space.name}: {error}."
            raise UsageError(msg) from error
        return cls(space=space, genome=tuple(genes))

    def __repr__(self) -> str:
        return f"Arch({self.space.name} {self.text})"

    @property
    def text(self) -> str:
        """The published string form of the genome."""
        return self.space.encode(self.genome)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that identify this network; they never change."""
        return hashlib.sha256(f"{self.space.name}:{self.text}".encode()).hexdigest()[:12]

    @property
    def resolution(self) -> int:
        """Height and width of the input image, in pixels."""
        return self.space.resolutions[self.genome[0]]

    @property
    def skeleton(self) -> Skeleton:
        """The part of the network that the width gene fixes."""
        return self.space.skeleton(self.genome[1])

    @property
    def stages(self) -> tuple[tuple[Block, ...], ...]:
        """The active blocks of every stage."""
        genes = self.genome[2:]
        rows = (genes[i : i + MAX_DEPTH] for i in range(0, len(genes), MAX_DEPTH))
        return tuple(
            tuple(Block(KERNELS[(g - 1) % 3], EXPANDS[(g - 1) // 3]) for g in row if g)
            for row in rows
        )

    @property
    def subnet(self) -> dict[str, Any]:
        """The published dict form; it lists active blocks only."""
        blocks = [block for stage in self.stages for block in stage]
        return {
            "r": self.resolution,
            "w": self.skeleton.width,
            "d": [len(stage) for stage in self.stages],
            "ks": [block.kernel for block in blocks],
            "e": [block.expand for block in blocks],
        }

    def ops(
        self, *, classes: int, activation: Activation | None = None, batch: int = 1
    ) -> tuple[OpSpec, ...]:
        """List the blocks in order: stem, first block, active blocks, pooled head, mix, classifier.

        Args:
            classes: number of outputs of the classifier.
            activation: replaces every activation of the space; the published ImageNet networks
                of NAT use mish. Squeeze gates keep their own.
            batch: number of images per run.
        """
        return trace(
            self.skeleton,
            self.stages,
            self.resolution,
            classes=classes,
            activation=activation,
            batch=batch,
        )

    def cost(self, *, classes: int) -> Cost:
        """Return the exact parameters and MACs at batch 1; activations count as free."""
        return total_cost(self.ops(classes=classes))


def trace(
    skeleton: Skeleton,
    stages: Sequence[Sequence[Block]],
    resolution: int,
    *,
    classes: int,
    activation: Activation | None = None,
    batch: int = 1,
) -> tuple[OpSpec, ...]:
    """List the fused blocks of a network in the order in which they run.

    Raises:
        UsageError: `classes` or `batch` is less than 1.
    """
    if classes < 1 or batch < 1:
        msg = f"A network needs at least one class and one image; got {classes} and {batch}."
        raise UsageError(msg)
    stem = OpSpec(
        kind="conv",
        in_shape=(batch, resolution, resolution, skeleton.in_channels),
        out_channels=skeleton.stem_channels,
        kernel=3,
        stride=2,
        act=activation or skeleton.stem_act,
    )
    height, width = stem.out_size
    channels = skeleton.stem_channels
    first = OpSpec(
        kind="mbconv",
        in_shape=(batch, height, width, channels),
        mid_channels=channels,
        out_channels=channels,
        kernel=3,
        act=activation or skeleton.first_act,
        residual=True,
    )
    ops = [stem, first]
    for stage, blocks in zip(skeleton.stages, stages, strict=True):
        for index, block in enumerate(blocks):
            before = ops[-1]
            op = mbconv(
                (batch, *before.out_size, before.out_channels),
                block,
                out_channels=stage.channels,
                stride=stage.stride if index == 0 else 1,
                se=stage.se,
                act=activation or stage.act,
            )
            ops.append(op)
    last, act = ops[-1], activation or skeleton.stages[-1].act
    expand, mix = skeleton.expand_channels, skeleton.mix_channels
    shape = (batch, *last.out_size, last.out_channels)
    ops.append(OpSpec(kind="convpool", in_shape=shape, out_channels=expand, act=act))
    ops.append(OpSpec(kind="mix", in_shape=(batch, 1, 1, expand), out_channels=mix, act=act))
    ops.append(OpSpec(kind="linear", in_shape=(batch, 1, 1, mix), out_channels=classes))
    return tuple(ops)


def mbconv(
    in_shape: tuple[int, int, int, int],
    block: Block,
    *,
    out_channels: int,
    stride: int,
    se: bool,
    act: Activation,
) -> OpSpec:
    """Return one searchable block. It has a shortcut if and only if it keeps the shape."""
    channels = in_shape[3]
    mid = make_divisible(channels * block.expand)
    return OpSpec(
        kind="mbconv",
        in_shape=in_shape,
        mid_channels=mid,
        out_channels=out_channels,
        kernel=block.kernel,
        stride=stride,
        act=act,
        se_channels=make_divisible(mid // 4) if se else 0,
        residual=stride == 1 and channels == out_channels,
    )


def as_genomes(space: Space, networks: object) -> Genomes:
    """Return networks as (n, genes) integers.

    Args:
        space: the space the networks belong to.
        networks: one network, a sequence of networks in any form that `Arch.of` accepts, or an
            (n, genes) array of integers. The genes of an array are not checked here, because the
            code that uses them looks each one up.

    Raises:
        UsageError: `networks` are not networks of the space.
    """
    if isinstance(networks, (Arch, str)):
        return np.array([Arch.of(space, networks).genome], np.int64)
    if not isinstance(networks, np.ndarray) and isinstance(networks, Iterable):
        networks = list(networks)
        if any(isinstance(network, (Arch, str)) for network in networks):
            genomes = [Arch.of(space, network).genome for network in networks]
            return np.array(genomes, np.int64)
    rows = np.asarray(networks)
    if rows.ndim != 2 or rows.shape[1] != space.genes or rows.dtype.kind not in "iu":
        msg = (
            f"Genomes of {space.name} are an (n, {space.genes}) array of integers, strings of "
            f"digits or Arch objects; got {rows.dtype} {rows.shape}."
        )
        raise UsageError(msg)
    return rows.astype(np.int64, copy=False)
