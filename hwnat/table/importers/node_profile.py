"""The shared part of importers of operator profiles.

A profile has each node's type, output tensor and mean time, but not its shapes. The user states the
operation of each node with `--option keys=FILE`, a JSON object: node name -> operation key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hwnat.errors import DataError, UsageError
from hwnat.records import parse
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Facts, Imported, NetworkTotal, Request, Source, Unit
from hwnat.table.importers.intake import Intake
from hwnat.table.importers.values import number

#: Node type -> the kinds of operation it can be, to detect keys that are one row off.
Kinds = Mapping[str, tuple[str, ...]]

OPTIONS: Final[Mapping[str, str]] = {
    "keys": "JSON file that maps node names to operation keys; a profile has no shapes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a network.

    Attributes:
        time: mean time of one run as printed, in the unit of the format.
        reason: why the node has no time of its own; empty if it has one.
    """

    kind: str
    name: str
    time: str
    where: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The content of one file.

    Attributes:
        nodes: nodes in execution order; empty if the file times the whole network only.
        runs: number of runs behind each time.
        total: mean time and standard deviation of the whole network, in the unit of the format;
            None if the file does not time the network separately.
    """

    nodes: tuple[Node, ...]
    runs: int = 1
    total: tuple[str, str] | None = None


class NodeProfileImporter:
    """An importer of node profiles.

    Args:
        name: name of the format.
        unit: unit of the times in its files.
        profile: function that reads one file.
        kinds: node type -> the operations it can be.
        facts: facts about the runtime that the format states.
    """

    def __init__(
        self,
        *,
        name: str,
        unit: Unit,
        profile: Callable[[Source], Profile],
        kinds: Kinds,
        facts: Facts,
    ) -> None:
        self.format = name
        self.unit: Unit = unit
        self.options = OPTIONS
        self._profile, self._kinds, self._facts = profile, kinds, facts

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read profiles of one or more models; an entry is the median over equal operations.

        Raises:
            DataError: a file is damaged or in another format, or no node has a key.
            UsageError: a unit is given, although the files state theirs.
        """
        if request.unit not in (None, self.unit):
            msg = f"Files of format {self.format} state their unit, {self.unit}; omit --unit."
            raise UsageError(msg)
        intake = Intake(request, name=self.format, unit=self.unit, sources=sources)
        keys = _keys(request.options.get("keys"))
        profiles = [(source, self._profile(source)) for source in sources]
        names = [node.name for _, profile in profiles for node in profile.nodes]
        if not names:
            msg = (
                f"{sources[0].name}: no file has operators; --format {self.format} needs a profile "
                "of operators too."
            )
            raise DataError(msg)
        if stray := sorted(keys.keys() - set(names)):
            msg = (
                f"{request.options['keys']}: no profile has a node '{stray[0]}'; the first node is "
                f"'{names[0]}'. Correct the file of keys."
            )
            raise DataError(msg)
        if not keys and not request.lenient:
            msg = (
                f"{sources[0].name}: a profile has no shapes. State the operation of each node "
                "with --option keys=FILE, a JSON object such as "
                f'{{"{names[0]}": "conv|in=1x224x224x3|out=16|k=3|s=2|act=relu|float32"}}.'
            )
            raise DataError(msg)
        networks = [self._take(source, profile, keys, intake) for source, profile in profiles]
        return intake.done(
            granularity="operator",
            networks=[network for network in networks if network is not None],
            facts=self._facts,
        )

    def _take(
        self, source: Source, profile: Profile, keys: Mapping[str, OpSpec], intake: Intake
    ) -> NetworkTotal | None:
        """Pass one file's nodes to the intake; return its network if the file times it."""
        taken: list[str] = []
        left_out: list[str] = []
        for node in profile.nodes:
            reason = self._take_node(node, keys.get(node.name), profile.runs, intake)
            if reason:
                intake.leave_out(node.name, f"{node.kind}: {reason}")
                left_out.append(node.name)
            else:
                taken.append(keys[node.name].key)
        if profile.total is None:
            return None
        mean, std = profile.total
        where = f"{source.name}: whole network"
        measured_ns = intake.latency_ns("mean", mean, where=where)
        if measured_ns is None:
            return None
        return NetworkTotal(
            name=source.name,
            keys=tuple(taken),
            measured_ns=measured_ns,
            unmapped=tuple(left_out),
            std_ns=round(intake.deviation_ns(std, where=f"{where}: std")),
        )

    def _take_node(self, node: Node, op: OpSpec | None, runs: int, intake: Intake) -> str:
        """Pass one node to the intake; return why it gets no entry, or an empty text."""
        if node.reason:
            return node.reason
        if op is None:
            return "no operation key is given for it"
        if number(node.time, where=f"{node.where}: {node.name}") == 0:
            return "its time is below the profiler's resolution"
        if op.kind not in self._kinds.get(node.kind, (op.kind,)):
            msg = (
                f"{node.where}: node '{node.name}' is {node.kind}, but its key is {op.key}; the "
                "file of keys is for another model or one row off."
            )
            raise DataError(msg)
        intake.add_repeat(op, node.time, foreign=node.name, where=node.where, n=runs)
        return ""


def _keys(path: str | None) -> dict[str, OpSpec]:
    """Read the file of operation keys."""
    if path is None:
        return {}
    keys = parse.strict_json(parse.read_text(Path(path), what="operation keys"), where=path)
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        msg = f"{path}: expected a JSON object of node names to operation keys."
        raise DataError(msg)
    try:
        return {name: OpSpec.from_key(key) for name, key in keys.items()}
    except DataError as refused:
        msg = f"{path}: {refused}"
        raise DataError(msg) from refused
