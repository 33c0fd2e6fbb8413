"""A supernet: the largest network of each width, from which subnets are cut."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.func import functional_call

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch, make_divisible
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space
from hwnat.records.write import write_bytes
from hwnat.supernet.elastic import DERIVED_KERNELS, cut, sort_block
from hwnat.supernet.finite import require_finite
from hwnat.targets.modules.plain import MBConv, network, op_module

#: History. Never edit an entry; add one and a migration.
#:   1  one tensor per parameter and buffer; metadata: schema, space, classes, activation
WEIGHTS_SCHEMA = 1
_FIXED_BLOCKS = 2  # stem and first block precede the searchable slots


class Supernet(nn.Module):
    """Shared weights of all networks of a space; different widths share none, as in NAT.

    Args:
        space: the search space.
        classes: outputs of the classifier.
        activation: replaces the activations of the space everywhere.
    """

    def __init__(self, space: Space, *, classes: int, activation: Activation | None = None) -> None:
        super().__init__()
        self.space, self.classes, self.activation = space, classes, activation
        self.full = nn.ModuleDict()
        self.transforms = nn.ParameterDict()
        for gene, _ in space.skeletons:
            genome = list(space.largest())
            genome[1] = gene
            ops = self.ops(Arch(space=space, genome=tuple(genome)))
            self.full[str(gene)] = network(ops)
            for index in range(_FIXED_BLOCKS, len(ops) - 3):
                for size in DERIVED_KERNELS:
                    self.transforms[f"{gene}_{index}_{size}"] = nn.Parameter(torch.eye(size**2))

    def largest(self, width_gene: int) -> nn.Sequential:
        """Return the largest network of a width; its modules have the shared weights."""
        return cast("nn.Sequential", self.full[str(width_gene)])

    def ops(self, arch: Arch) -> tuple[OpSpec, ...]:
        """Trace `arch` with this supernet's classes and activation."""
        return arch.ops(classes=self.classes, activation=self.activation)

    def cut(self, arch: Arch) -> list[dict[str, Tensor]]:
        """Return the state dict of each operation's module, as views of the shared weights."""
        gene = arch.genome[1]
        states = []
        for index, op in zip(self._sources(arch), self.ops(arch), strict=True):
            module = self.largest(gene)[index]
            full = dict(module.named_parameters()) | dict(module.named_buffers())
            names = {size: f"{gene}_{index}_{size}" for size in DERIVED_KERNELS}
            matrices = {k: self.transforms[n] for k, n in names.items() if n in self.transforms}
            states.append(cut(full, _shapes(op), matrices))
        return states

    def _sources(self, arch: Arch) -> list[int]:
        """Return, for each operation of `arch`, its position in the largest network."""
        blocks = arch.genome[2:]
        head = _FIXED_BLOCKS + len(blocks)
        active = [_FIXED_BLOCKS + slot for slot, gene in enumerate(blocks) if gene]
        return [*range(_FIXED_BLOCKS), *active, head, head + 1, head + 2]

    def forward(self, x: Tensor, arch: Arch) -> Tensor:
        """Run `arch` on (b, 3, r, r) images; return (b, classes) logits.

        In training mode, batch norms update the running statistics of the active channels.
        """
        for op, state in zip(self.ops(arch), self.cut(arch), strict=True):
            x = functional_call(_meta_module(op).train(self.training), state, (x,))
        return x

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Sequential:
        """Return the plain network of `arch` with copied weights, in evaluation mode.

        The batch-norm statistics are those of the supernet; recalibrate them before use.
        """
        with torch.device("meta"):
            subnet = network(self.ops(arch))
        for module, state in zip(subnet, self.cut(arch), strict=True):
            copied = {name: tensor.detach().clone() for name, tensor in state.items()}
            module.load_state_dict(copied, assign=True)
        return subnet.eval()

    def sort_widths(self, unlocked_expands: tuple[int, ...] = ()) -> None:
        """Move the most important middle channels of every block to the front.

        Args:
            unlocked_expands: trained expansion ratios below the largest; their channel prefixes
                keep their members. The output of the largest network does not change.
        """
        for gene, _ in self.space.skeletons:
            genome = (0, gene, *self.space.largest()[2:])
            ops = self.ops(Arch(space=self.space, genome=genome))
            for op, block in zip(ops, self.largest(gene), strict=True):
                if isinstance(block, MBConv) and op.mid_channels != op.in_shape[3]:
                    channels = op.in_shape[3]
                    sort_block(block, [make_divisible(channels * e) for e in unlocked_expands])

    def transfer(self, *, classes: int, seed: int) -> "Supernet":
        """Return a copy for another task with the same weights and a new random classifier."""
        fresh = Supernet.fresh(self.space, classes=classes, seed=seed, activation=self.activation)
        kept = {k: v for k, v in self.state_dict().items() if ".linear." not in k}
        fresh.load_state_dict(kept, strict=False)
        return fresh

    def save(self, path: Path, *, details: Mapping[str, object] | None = None) -> None:
        """Write weights and metadata as safetensors; the file is never half-written."""
        header = {
            "schema": str(WEIGHTS_SCHEMA),
            "space": self.space.name,
            "classes": str(self.classes),
            "activation": self.activation or "",
            "details": json.dumps(details or {}, sort_keys=True),
        }
        write_tensors(path, self.state_dict(), header)

    @classmethod
    def fresh(
        cls, space: Space, *, classes: int, seed: int, activation: Activation | None = None
    ) -> "Supernet":
        """Return untrained weights that depend only on `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(space, classes=classes, activation=activation)

    @classmethod
    def load(cls, path: Path) -> "Supernet":
        """Load a file that `save` wrote.

        Raises:
            DataError: the file is damaged or of another kind, or its tensors do not fit its space.
        """
        header = weights_info(path)
        try:
            supernet = cls.fresh(
                get_space(header["space"]),
                classes=int(header["classes"]),
                seed=0,
                activation=header["activation"] or None,  # type: ignore[arg-type]
            )
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            supernet.load_state_dict(state)
        except (RuntimeError, KeyError, ValueError, SafetensorError) as error:
            msg = f"{path}: weights do not fit space {header.get('space')}; train them again."
            raise DataError(msg) from error
        require_finite(state, what=str(path), remedy="Train the weights again.")
        return supernet


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Write safetensors; readers see either the old file or the whole new one.

    Equal tensors and headers give equal bytes.

    Raises:
        DataError: a value is not a finite number; nothing is written.
        UsageError: `path` cannot be written.
    """
    require_finite(tensors, what=f"Did not write {path}", remedy="Train with a lower rate.")
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_bytes(path, _with_metadata(save(whole), header))


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """Put metadata into the header of safetensors in sorted order; `save` would shuffle them."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8:end])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[end:]))


def weights_path(name: str | Path) -> Path:
    """Return the file of `name`: an existing path, or the shipped weights of that space.

    Raises:
        UsageError: `name` is neither; the message lists the shipped weights.
    """
    shipped = Path(__file__).with_name("weights")
    for path in (Path(name), shipped / f"{name}.safetensors"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in shipped.glob("*.safetensors"))) or "none"
    msg = f"No weights at {str(name)!r}; shipped: {known}. Train some: hwnat supernet train --help."
    raise UsageError(msg)


def weights_info(path: Path) -> dict[str, str]:
    """Return the metadata of a weights file.

    Raises:
        DataError: the file is missing or damaged, or has another schema.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        msg = f"{path} is not a readable weights file ({error}); make one: hwnat supernet train."
        raise DataError(msg) from error
    if header.get("schema") != str(WEIGHTS_SCHEMA):
        msg = f"{path}: weights schema {header.get('schema')}, this version reads {WEIGHTS_SCHEMA}."
        raise DataError(msg)
    return header


@lru_cache(maxsize=4096)
def _meta_module(op: OpSpec) -> nn.Module:
    """Return a module without memory, for calls with other weights."""
    with torch.device("meta"):
        return op_module(op)


@lru_cache(maxsize=4096)
def _shapes(op: OpSpec) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in _meta_module(op).state_dict().items()}
