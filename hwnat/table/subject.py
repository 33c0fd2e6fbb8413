"""The subject that lint checks: a latency table or published files, in one form."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import get_space
from hwnat.table.entry import Entry
from hwnat.table.importers.base import Finding, Imported, NetworkTotal, Source
from hwnat.table.importers.values import NotMeasuredError, Pairs, json_pairs, positive
from hwnat.table.lookup import LatencyTable, load_table


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One device's entries, and the latencies that the source claims for whole networks.

    Attributes:
        name: name of the file or files.
        device: the measured device; two subjects of one device may hold equal entries.
        space: name, classes, resolutions and batch size of a space's block table.
        networks: whole networks with a latency that the source calls measured.
        named: whole networks without a latency; the entries must still cover their operations.
        findings: findings made while reading the files.
        places: the file and line of each entry.
        unmapped: items of the files that have no entry, with the reason.
    """

    name: str
    device: str
    entries: Mapping[str, Entry]
    overhead_ns: int = 0
    space: tuple[str, int, tuple[int, ...], int] | None = None
    networks: tuple[NetworkTotal, ...] = ()
    named: tuple[NetworkTotal, ...] = ()
    findings: tuple[Finding, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    unmapped: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_table(cls, table: LatencyTable, *, name: str) -> Self:
        """Make a subject from a table and the networks of its calibration and validation."""
        setup = table.setup
        space = None
        if table.space is not None and table.classes is not None:
            space = (table.space, table.classes, table.resolutions, setup.batch)
        subject = cls(
            name=name,
            device=setup.device,
            entries=table.entries,
            overhead_ns=table.overhead_ns,
            space=space,
        )
        checks = (*table.calibration.networks, *table.validation) if space else ()
        return replace(
            subject,
            networks=tuple(
                NetworkTotal(
                    name=check.genome,
                    keys=subject.keys_of(check.genome),
                    measured_ns=check.measured_ns,
                )
                for check in checks
            ),
        )

    @classmethod
    def of_imported(cls, imported: Imported) -> Self:
        """Make a subject from imported files."""
        ops = map(OpSpec.from_key, imported.entries)
        batches = {op.in_shape[0] for op in ops if op.kind != "opaque"} or {1}
        space = None
        if imported.space is not None and imported.classes is not None:
            space = (imported.space, imported.classes, imported.resolutions, min(batches))
        return cls(
            name=", ".join(source.name for source in imported.sources),
            device=imported.device,
            entries=imported.entries,
            space=space,
            networks=imported.networks,
            findings=imported.findings,
            places=imported.places,
            unmapped=imported.unmapped,
        )

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Make a subject from a table's file, even if a bad value prevents loading it.

        Raises:
            DataError: the file is not a table, or is damaged in another way.
        """
        try:
            return cls.of_table(load_table(path), name=str(path))
        except DataError as refused:
            refusals = tuple(_refused(Source.read(path)))
            if not refusals:
                raise
            why = f"{len(refusals)} entries keep it from being loaded ({refused})"
            whole = Finding(
                rule="not-loaded", severity="error", where=str(path), key="", message=why
            )
            return cls(name=str(path), device=str(path), entries={}, findings=(*refusals, whole))

    @cached_property
    def ops(self) -> Mapping[str, OpSpec]:
        """The operations of the entries that have a canonical key, by key."""
        ops = {}
        for key in self.entries:
            try:
                ops[key] = OpSpec.from_key(key)
            except DataError:
                continue
        return ops

    def keys_of(self, genome: str) -> tuple[str, ...]:
        """Return the keys of a network of the subject's space.

        Raises:
            UsageError: the subject has no space, or the space has no such network.
        """
        if self.space is None:
            msg = f"{self.name} is not a table of a space, so {genome} names no network of it."
            raise UsageError(msg)
        name, classes, _, batch = self.space
        arch = Arch.from_text(get_space(name), genome)
        return tuple(op.key for op in arch.ops(classes=classes, batch=batch))

    def with_networks(self, published: Sequence[tuple[str, int | None]]) -> Self:
        """Return a copy with published networks added: genome, and latency in ns or None."""
        networks, named = list(self.networks), list(self.named)
        for genome, ns in published:
            total = NetworkTotal(name=genome, keys=self.keys_of(genome), measured_ns=ns or 0)
            (named if ns is None else networks).append(total)
        return replace(self, networks=tuple(networks), named=tuple(named))

    def uncovered(self) -> tuple[str, ...]:
        """Return the space's operations at the table's resolutions that have no entry."""
        if self.space is None:
            return ()
        name, classes, resolutions, batch = self.space
        # A published table may cover resolutions that this package's space does not list.
        space = replace(get_space(name), resolutions=resolutions)
        ops = distinct_ops(space, resolutions, classes=classes, batch=batch)
        return tuple(op.key for op in ops if op.key not in self.entries)


def _refused(source: Source) -> Iterable[Finding]:
    """Yield findings for the invalid entries of a table's file."""
    entries = next((value for key, value in json_pairs(source) if key == "entries"), ())
    seen: dict[str, object] = {}
    for key, entry in entries if isinstance(entries, Pairs) else ():
        words: dict[str, str] = {"where": source.name, "key": key}
        for name, value in entry if isinstance(entry, Pairs) else ():
            if not name.endswith("_ns"):
                continue
            try:
                positive(value, where=name)
            except NotMeasuredError as refused:
                yield Finding(rule="not-measured", severity="error", message=str(refused), **words)
        if key in seen:
            equal = seen[key] == entry
            yield Finding(
                rule="repeated-key" if equal else "conflicting-values",
                severity="error",
                message="stands there twice" + (", with two values" * (not equal)),
                **words,
            )
        seen[key] = entry
