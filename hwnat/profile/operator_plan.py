"""Plan a table of operators: the networks to time whole, and pieces of them to time alone."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.profile.models import ExportedModels, Progress
from hwnat.profile.plan import random_networks, reference_network
from hwnat.records.arch import Arch
from hwnat.records.cost import op_cost
from hwnat.records.measurement import network_key
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space
from hwnat.targets.base import Cutting, Target
from hwnat.targets.trace import Trace

#: Models with images up to this size count as small networks.
_SMALL: Final = 64
#: Number of classes of networks that are drawn.
_CLASSES: Final = 10
#: A model is of a space's family if this share of its operators is of forms that the space has.
_ALIKE: Final = 0.95
#: Rough speed of one core: multiply-accumulates and bytes per nanosecond, and a kernel's start.
_MACS_PER_NS, _BYTES_PER_NS, _START_NS = 15.0, 5.0, 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A whole network, or its first operators.

    Attributes:
        key: name of the network in measurements.
        source: the file that was traced.
        path: a file of the target.
        trace: what the runtime executes.
        nodes: for each operator of `trace`, the nodes of the file at `path`.
    """

    key: str
    source: Path
    path: Path
    trace: Trace
    nodes: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One operator, cut out of a network.

    Attributes:
        subject: name of the piece in measurements.
        op: key of the operator.
        path: a file of the target.
    """

    subject: str
    op: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Networks of a built-in space that are about as large as the given ones."""

    space: Space
    size: int
    batch: int
    models: ExportedModels

    @property
    def reference(self) -> str:
        """Export the smallest network, beside which all models are timed, and return its key."""
        return self._export([reference_network(self.space, (self.size,))])[0]

    def draw(self, count: int, *, seed: int) -> list[Network]:
        """Draw and export random networks."""
        rng = np.random.default_rng(seed)
        if count < 1:
            return []
        drawn = random_networks(self.space, (self.size,), count, rng=rng)
        return [self.network(key) for key in self._export(drawn)]

    def network(self, key: str) -> Network:
        """Trace an exported network."""
        path = self.models.path(key)
        trace = self.models.target.trace(path)
        return Network(key=key, source=path, path=path, trace=trace, nodes=_nodes(trace))

    def _export(self, archs: Sequence[Arch]) -> list[str]:
        sources = {
            network_key(self.space.name, arch.text, classes=_CLASSES, batch=self.batch): arch.ops(
                classes=_CLASSES, batch=self.batch
            )
            for arch in archs
        }
        self.models.export(sources, progress=lambda *_: None)
        return list(sources)


def family_of(given: Sequence[Network], models: ExportedModels) -> Family:
    """Return the built-in space whose networks are about as large as the given ones."""
    widest = max(max(op.in_shape[1:3]) for network in given for op in network.trace.specs)
    space = get_space("mbv3-nano" if widest <= _SMALL else "mbv3-w1.0")
    size = space.resolutions[len(space.resolutions) // 2]
    return Family(space=space, size=size, batch=given[0].trace.batch, models=models)


def alike(given: Sequence[Network], family: Network) -> bool:
    """Return whether the given networks consist of operators as a network of a family has."""
    forms = {_form(op) for op in family.trace.specs}
    return all(
        sum(_form(op) in forms for op in network.trace.specs) >= _ALIKE * len(network.trace.ops)
        for network in given
    )


def _form(op: OpSpec) -> tuple[object, ...]:
    return op.kind, op.act, op.stride, op.kernel_w, op.mode, op.dtype


def adopted(file: Path, target: Target, folder: Path) -> Network:
    """Trace a model as `hwnat predict` does, and write it to the cache as a file of the target."""
    trace = target.trace(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    key = f"model|{digest}"
    if file.suffix == target.suffix:
        return Network(key=key, source=file, path=file, trace=trace, nodes=_nodes(trace))
    path = ExportedModels(target=target, folder=folder).path(key)
    if not path.exists():
        target.convert(file, path)
    # The nodes of an ONNX file are not those of the file that was made from it.
    own = target.trace(path)
    same = [op.key for op in own.specs] == [op.key for op in trace.specs]
    nodes = _nodes(own) if same else ((),) * len(trace.ops)
    return Network(key=key, source=file, path=path, trace=trace, nodes=nodes)


def _nodes(trace: Trace) -> tuple[tuple[str, ...], ...]:
    return tuple(op.nodes for op in trace.ops)


def guess_ns(op: OpSpec) -> float:
    """Return a rough latency of an operator, from its work and the values it reads and writes."""
    moved = 4 * (prod(op.in_shape) * op.operands + prod(op.out_shape))
    macs = 0 if op.kind == "opaque" else op_cost(op).macs
    return _START_NS + macs / _MACS_PER_NS + moved / _BYTES_PER_NS


def prefixes(
    network: Network, target: Target, folder: Path, shares: Sequence[float]
) -> list[Network]:
    """Cut off the first operators of a network, up to shares of its rough latency.

    Prefixes that cannot be cut or traced are left out.
    """
    if not isinstance(target, Cutting):
        return []
    guesses = np.cumsum([guess_ns(op) for op in network.trace.specs])
    cut: dict[int, Network] = {}
    for share in shares:
        last = int(np.searchsorted(guesses, share * guesses[-1]))
        nodes = [name for names in network.nodes[: last + 1] for name in names]
        if last in cut or last + 1 >= len(guesses) or not nodes:
            continue
        key = f"{network.key}|first={last + 1}"
        path = ExportedModels(target=target, folder=folder).path(key)
        try:
            if not path.exists():
                target.cut(network.path, nodes, path, ancestors=True)
            trace = target.trace(path)
        except (DataError, UsageError):
            continue
        cut[last] = Network(key=key, source=path, path=path, trace=trace, nodes=_nodes(trace))
    return list(cut.values())


def cut_out(
    networks: Sequence[Network], target: Target, folder: Path, *, budget: int, report: Progress
) -> list[Piece]:
    """Cut distinct operators out of the networks, those that take longest first.

    Operators that cannot be cut out are left out.
    """
    if not isinstance(target, Cutting):
        return []
    count = Counter(op.key for network in networks for op in network.trace.specs)
    first: dict[str, tuple[Network, tuple[str, ...]]] = {}
    for network in networks:
        for op, nodes in zip(network.trace.specs, network.nodes, strict=True):
            if nodes:
                first.setdefault(op.key, (network, nodes))
    heaviest = sorted(first, key=lambda key: -count[key] * guess_ns(OpSpec.from_key(key)))
    pieces: list[Piece] = []
    for key in heaviest:
        if len(pieces) == budget:
            break
        network, nodes = first[key]
        subject = f"piece|{network.key}|{key}"
        path = ExportedModels(target=target, folder=folder).path(subject)
        try:
            if not path.exists():
                target.cut(network.path, nodes, path)
            target.load(path)
        except (DataError, UsageError):
            continue
        pieces.append(Piece(subject=subject, op=key, path=path))
        report("cut", len(pieces), min(budget, len(heaviest)))
    return pieces
