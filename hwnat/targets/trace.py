"""The kernels that a runtime executes for a model file, and the nodes that it removes.

All targets use the same records. Fusion is read from the runtime's own plan.
`hwnat.targets.kernel` decides which operation key describes a kernel.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnat.errors import DataError
from hwnat.records.op import OpSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedOp:
    """One kernel that the runtime executes.

    Attributes:
        op: the operation that it computes; opaque if no other key describes it.
        reason: why the operation is opaque; empty if it is not.
        nodes: names of the file's nodes that were fused into it, in the order they run. A kernel
            that the runtime inserted, such as a change of layout, has none.
        kernel: the runtime's name for the kernel, if it reports one.
        profile_ns: mean time of one run in ns, according to the runtime's profiler; None if it has
            none. Use it only to compare operators: the profiler adds time of its own. It is the
            mean over many runs after a warm-up, because profilers report whole microseconds; see
            `hwnat.targets.profiled`.
    """

    op: OpSpec
    nodes: tuple[str, ...]
    kernel: str
    reason: str = ""
    profile_ns: float | None = None

    def __post_init__(self) -> None:
        if (self.op.kind == "opaque") != bool(self.reason):
            msg = f"Traced kernel {self.kernel}: a reason belongs to an opaque operation only."
            raise DataError(msg)

    @property
    def place(self) -> str:
        """Its location in the file, for messages."""
        return " + ".join(self.nodes) or f"inserted by the runtime: {self.kernel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A node of the file that takes no time.

    Attributes:
        node: name of the node.
        kind: operator of the node.
        why: the reason, such as folded into constants, a view of the same data or never read.
    """

    node: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A model file as one runtime executes it.

    Attributes:
        target: name of the target.
        runtime: name and version of the runtime that made the plan.
        batch: images per run.
        ops: kernels in the order they run.
        removed: nodes of the file that the runtime does not run.
    """

    target: str
    runtime: str
    batch: int
    ops: tuple[TracedOp, ...]
    removed: tuple[Removed, ...]

    def __post_init__(self) -> None:
        if not self.ops:
            msg = f"The model has no operator that {self.runtime} would execute."
            raise DataError(msg)

    @property
    def specs(self) -> tuple[OpSpec, ...]:
        """Every operation, in the order they run."""
        return tuple(kernel.op for kernel in self.ops)

    @property
    def unknown(self) -> tuple[TracedOp, ...]:
        """Every kernel whose operation is opaque."""
        return tuple(kernel for kernel in self.ops if kernel.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of a model file of any format.

    Attributes:
        inputs: names of its inputs, including constants.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Graph:
    """The nodes of a model file, with the producer and the readers of each value.

    Args:
        nodes: the nodes in an order in which they can run.
        results: names of the values that the model returns.
        constants: names of the values that are stored in the file.
    """

    def __init__(
        self, nodes: Sequence[Node], *, results: Sequence[str], constants: Sequence[str]
    ) -> None:
        self.nodes = tuple(nodes)
        self.by_name = {node.name: node for node in nodes}
        self.results = frozenset(results)
        self.producer = {value: node for node in nodes for value in node.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for value in node.inputs:
                self.readers.setdefault(value, []).append(node)
        self.constants = set(constants)
        for node in nodes:
            # A node without inputs is constant too, and so are shapes, because all are fixed.
            fixed = node.kind in ("Shape", "Size")
            if fixed or all(value in self.constants for value in node.inputs):
                self.constants.update(node.outputs)
        self._live = self._reach()

    def _reach(self) -> frozenset[str]:
        """Return the names of the nodes that a result depends on."""
        live: set[str] = set()
        wanted = list(self.results)
        while wanted:
            node = self.producer.get(wanted.pop())
            if node is not None and node.name not in live:
                live.add(node.name)
                wanted += node.inputs
        return frozenset(live)

    def followers(self, node: Node) -> list[Node]:
        """Return the nodes that read an output of `node`."""
        return [reader for value in node.outputs for reader in self.readers.get(value, [])]

    def closed(self, names: Sequence[str], path: Path, *, ancestors: bool) -> set[str]:
        """Return nodes and the nodes that compute the constants they read.

        Args:
            names: names of nodes.
            path: the file, for messages.
            ancestors: also take every node that these nodes depend on.

        Raises:
            DataError: there is no such node.
        """
        if unknown := [name for name in names if name not in self.by_name]:
            msg = f"{path} has no node {unknown[0]!r:.80}; name a node of this file."
            raise DataError(msg)
        chosen, waiting = set(names), list(names)
        while waiting:
            for value in self.by_name[waiting.pop()].inputs:
                node = self.producer.get(value)
                wanted = node is not None and (ancestors or value in self.constants)
                if wanted and node is not None and node.name not in chosen:
                    chosen.add(node.name)
                    # The size of a value does not depend on the value.
                    waiting += (
                        [node.name] if ancestors or node.kind not in ("Shape", "Size") else []
                    )
        return chosen

    def in_order(self, values: Iterable[str]) -> list[str]:
        """Return values in the order they are made; inputs of the model come first."""
        order = {value: place for place, value in enumerate(self.producer)}
        return sorted(values, key=lambda value: order.get(value, -1))

    def group(self, anchors: Mapping[int, Sequence[str]]) -> dict[int, tuple[str, ...]]:
        """Complete the groups of nodes that were fused.

        A runtime names the last or the main node of a fused group, but seldom all of them. A node
        that no kernel claims, and that only nodes of one group read, belongs to that group.

        Args:
            anchors: kernel -> names of nodes that are known to belong to it.

        Returns:
            kernel -> names of all its nodes, in the order they run.
        """
        owner: dict[str, int] = {}
        for kernel, names in anchors.items():
            for name in names:
                owner.setdefault(name, kernel)  # the kernel that computes it, not a later move
        for node in reversed(self.nodes):
            if node.name in owner or self.folded(node) is not None:
                continue
            owners = {owner.get(reader.name) for reader in self.followers(node)}
            returned = any(value in self.results for value in node.outputs)
            if len(owners) == 1 and not returned and (only := owners.pop()) is not None:
                owner[node.name] = only
        groups: dict[int, list[str]] = {kernel: [] for kernel in anchors}
        for node in self.nodes:
            if node.name in owner:
                groups[owner[node.name]].append(node.name)
        return {kernel: tuple(names) for kernel, names in groups.items()}

    def folded(self, node: Node) -> str | None:
        """Return why a node cannot be part of any kernel; None if it can."""
        if node.name not in self._live:
            return "nothing reads its output"
        if all(value in self.constants for value in node.outputs):
            return "computed once, from constants"
        if node.kind in ("Identity", "Dropout"):
            return "does nothing when the network runs"
        return None

    def removed(self, executed: frozenset[str] | set[str]) -> Iterator[Removed]:
        """Yield every node that is in no kernel, with the reason; constants are left out."""
        for node in self.nodes:
            alias = node.kind == "Identity" and all(v in self.constants for v in node.outputs)
            if not (node.name in executed or node.kind in ("Constant", "Const") or alias):
                why = self.folded(node) or "the runtime's optimiser did away with it"
                yield Removed(node=node.name, kind=node.kind, why=why)
