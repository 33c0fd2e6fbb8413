"""Plan a table of operators: networks, operators, and small networks to time them in."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from hwnat.errors import InconclusiveError, UsageError
from hwnat.profile.models import ExportedModels, Progress, one_thread, seeded
from hwnat.profile.plan import random_networks
from hwnat.profile.select import farthest
from hwnat.records.measurement import network_key
from hwnat.records.op import OpSpec
from hwnat.records.space import Space, get_space
from hwnat.targets.base import Target
from hwnat.targets.modules.bench import FORMS, Bench, copies, difference
from hwnat.targets.trace import Trace

#: Models with images up to this size count as small networks.
_SMALL: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A whole network: a file of the target, and the operators that the runtime executes."""

    key: str
    path: Path
    trace: Trace


@dataclass(slots=True, kw_only=True)
class Benches:
    """Small networks to time operators in.

    Attributes:
        by_key: operation key -> its network, and the moves executed with the operation.
        left_out: operation key -> the reason why the operation cannot be timed.
    """

    by_key: dict[str, tuple[Bench, Counter[str]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def adopted(file: Path, target: Target, folder: Path) -> Network:
    """Trace a model and write it to the cache as a file of the target."""
    trace = target.trace(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    path = file
    if file.suffix != target.suffix:
        path = ExportedModels(target=target, folder=folder).path(f"model|{digest}")
        if not path.exists():
            target.convert(file, path)
    return Network(key=f"model|{digest}", path=path, trace=trace)


def random_of_their_size(
    given: Sequence[Network], target: Target, folder: Path, *, count: int, seed: int
) -> list[Network]:
    """Draw and export random networks from a built-in space of similar size."""
    if count < 1:
        return []
    widest = max(max(op.in_shape[1:3]) for network in given for op in network.trace.specs)
    space: Space = get_space("mbv3-nano" if widest <= _SMALL else "mbv3-w1.0")
    size = space.resolutions[len(space.resolutions) // 2]
    batch = given[0].trace.batch
    drawn = random_networks(space, (size,), count, rng=np.random.default_rng(seed))
    sources = {
        network_key(space.name, arch.text, classes=10, batch=batch): arch.ops(
            classes=10, batch=batch
        )
        for arch in drawn
    }
    models = ExportedModels(target=target, folder=folder)
    models.export(sources, progress=lambda *_: None)
    return [
        Network(key=key, path=models.path(key), trace=target.trace(models.path(key)))
        for key in sources
    ]


def chosen(
    given: Sequence[Network], drawn: Sequence[Network], *, budget: int
) -> tuple[OpSpec, ...]:
    """Choose distinct operators, the models' own first; farthest points beyond the budget."""
    own = _distinct(given)
    others = [op for op in _distinct(drawn) if op not in own]
    if len(own) > budget:
        return farthest(own, budget)
    return (*own, *farthest(others, budget - len(own), beside=own))


def _distinct(networks: Iterable[Network]) -> list[OpSpec]:
    ops = {op.key: op for network in networks for op in network.trace.specs}
    return [op for op in ops.values() if op.kind != "opaque"]


def make_benches(
    ops: Sequence[OpSpec], target: Target, folder: Path, *, report: Progress
) -> Benches:
    """Export the small networks, each in the first form that the runtime does not change.

    Raises:
        InconclusiveError: no operator has such a form.
    """
    made, worked = Benches(), Counter(FORMS)
    traces: dict[str, Trace] = {}
    for count, op in enumerate(ops, start=1):
        reasons = []
        for form in sorted(FORMS, key=lambda name: -worked[name]):
            bench = Bench(op=op, count=copies(op), form=form)
            try:
                pair = [
                    _exported(model, target, folder, traces) for model in (bench, bench.baseline)
                ]
                rest = difference(bench, *pair)
            except UsageError as error:
                rest = str(error)
            if not isinstance(rest, str):
                worked[form] += 1
                made.by_key[op.key] = (bench, rest)
                break
            reasons.append(rest)
        else:
            made.left_out[op.key] = reasons[0]
        report("export", count, len(ops))
    if not made.by_key:
        first = next(iter(made.left_out.items()))
        msg = (
            f"None of {len(ops)} operators can be timed by itself, such as {first[0]}: {first[1]}. "
            "Time whole networks of a space with: hwnat profile"
        )
        raise InconclusiveError(msg)
    return made


def _exported(bench: Bench, target: Target, folder: Path, traces: dict[str, Trace]) -> Trace:
    if bench.key not in traces:
        path = ExportedModels(target=target, folder=folder).path(bench.key)
        if not path.exists():
            with seeded(bench.key), one_thread():
                target.export(bench.module(), bench.input_shape, path)
        traces[bench.key] = target.trace(path)
    return traces[bench.key]
