"""Once-for-All's `<resolution>_lookup_table.yaml`: one file per resolution, in milliseconds.

The published tables (Galaxy Note10, TFLite, width 1.2) have one entry for each block and five
for stem and head. `Conv_1` and `AvgPool2D` together are `convpool` here. A map size that two
resolutions share is in both files; the entry is the median of these timings.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Final

from hwnat.errors import DataError
from hwnat.records.grid import distinct_ops
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3, MBV3_W10, MBV3_W12, Space
from hwnat.table.importers.base import Facts, Imported, Importer, Request, Source, Unit
from hwnat.table.importers.intake import Intake
from hwnat.table.importers.ofa_text import (
    BlockName,
    Item,
    block_name,
    check_output,
    items,
    mbconv,
)
from hwnat.table.importers.values import number

_FIELDS: Final = ("count", "mean", "std")
_BLOCK: Final = {"expand", "kernel", "stride", "idskip", "se", "hs"}
_ACTIVATIONS: Final[Mapping[int, Activation]] = {0: "relu", 1: "hswish"}
#: The two parts of a `convpool`.
_HEAD: Final = ("Conv_1", "AvgPool2D")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One operation of a file, with its texts unchanged."""

    op: OpSpec
    foreign: str
    where: str
    mean: str | float
    std: str | float
    count: str


class OfaYaml:
    """The importer of the tables that Once-for-All's `LatencyEstimator` reads."""

    format: str = "ofa-yaml"
    unit: Unit = "ms"
    options: Mapping[str, str] = {}

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read the files of one device, one for each resolution.

        Raises:
            DataError: a file is damaged, a value is not a latency, or a file has a key twice with
                different values.
        """
        intake = Intake(request, name=self.format, unit=self.unit, sources=sources)
        files = [_rows(source, intake) for source in sources]
        counts = [Counter(row.op.key for row in rows) for rows in files]
        for row in (row for rows in files for row in rows):
            seen = [count[row.op.key] for count in counts if row.op.key in count]
            if len(seen) > 1 and max(seen) == 1:
                intake.add_repeat(
                    row.op, row.mean, foreign=row.foreign, where=row.where, n=_count(row)
                )
            else:
                intake.add(
                    row.op,
                    row.mean,
                    foreign=row.foreign,
                    where=row.where,
                    std=row.std,
                    n=row.count,
                )
        ops = {row.op.key: row.op for rows in files for row in rows}
        return intake.done(
            granularity="block",
            space=covered_space(ops),
            facts=Facts(batch=1, precision="fp32"),
        )


def covered_space(ops: Mapping[str, OpSpec]) -> tuple[str, int, tuple[int, ...]] | None:
    """Return name, classes and resolutions of the space that `ops` cover; None without one.

    A resolution counts only if `ops` has every operation of every network at it.
    """
    stems = sorted({op.in_shape[1] for op in ops.values() if op.in_shape[3] == 3})
    classes = sorted({op.out_channels for op in ops.values() if op.kind == "linear"})
    for space in (MBV3, MBV3_W10, MBV3_W12):
        for outputs in classes:
            covered = [size for size in stems if _covers(ops, space, size, outputs)]
            if covered:
                return space.name, outputs, tuple(covered)
    return None


def _covers(ops: Container[str], space: Space, size: int, classes: int) -> bool:
    """Whether `ops` has all operations of a space at a resolution."""
    alone = replace(space, resolutions=(size,))
    return all(op.key in ops for op in distinct_ops(alone, (size,), classes=classes))


def _count(row: _Row) -> int:
    count = number(row.count, where=f"{row.where}: {row.foreign}: count")
    if count < 1 or count != int(count):
        msg = f"{row.where}: {row.foreign}: {row.count:.60} is not a number of runs. Correct it."
        raise DataError(msg)
    return int(count)


def _rows(source: Source, intake: Intake) -> list[_Row]:
    """Read a file's operations; leave out names without an operation key."""
    rows: list[_Row] = []
    heads: list[tuple[Item, BlockName]] = []
    for item in items(source, names=_FIELDS):
        name = block_name(item.key)
        if name is None:
            intake.leave_out(item.key, "not a block's name of this format")
        elif name.kind in _HEAD and not name.numbers:
            heads.append((item, name))
        else:
            try:
                op = check_output(_operation(name), name)
            except DataError as refused:
                intake.leave_out(item.key, str(refused))
                continue
            rows.append(_row(op, item, source))
    return rows + _convpools(heads, source, intake)


def _row(op: OpSpec, item: Item, source: Source) -> _Row:
    return _Row(
        op=op,
        foreign=item.key,
        where=source.at(item.line),
        mean=item.fields["mean"],
        std=item.fields["std"],
        count=item.fields["count"],
    )


def _operation(name: BlockName) -> OpSpec:
    """Return the operation of a name other than the two parts of the head.

    Raises:
        DataError: no operation key describes it.
    """
    shape, out = (1, *name.in_shape), name.out_shape[2]
    if name.kind == "expanded_conv" and name.numbers.keys() == _BLOCK:
        act = _ACTIVATIONS.get(name.numbers["hs"])
        if act is None:
            msg = f"hs:{name.numbers['hs']} is neither 0 nor 1"
            raise DataError(msg)
        return mbconv(name, mid=name.numbers["expand"], act=act)
    if name.kind == "Conv" and not name.numbers:
        return OpSpec(
            kind="conv", in_shape=shape, out_channels=out, kernel=3, stride=2, act="hswish"
        )
    if name.kind == "Conv_2" and not name.numbers:
        return OpSpec(kind="mix", in_shape=shape, out_channels=out, act="hswish")
    if name.kind == "Logits" and not name.numbers and shape[1:3] == (1, 1):
        return OpSpec(kind="linear", in_shape=shape, out_channels=out)
    msg = f"no operation of this format is called {name.kind} with these attributes"
    raise DataError(msg)


def _convpools(
    heads: Sequence[tuple[Item, BlockName]], source: Source, intake: Intake
) -> list[_Row]:
    """Join each `Conv_1` with the `AvgPool2D` after it."""
    rows: list[_Row] = []
    pools = {name.in_shape: item for item, name in heads if name.kind == "AvgPool2D"}
    convs = {name.out_shape for _, name in heads if name.kind == "Conv_1"}
    for item, name in heads:
        pool = pools.get(name.out_shape)
        if name.kind == "AvgPool2D":
            if name.in_shape not in convs:
                intake.leave_out(item.key, "no Conv_1 has this output")
        elif pool is None or name.in_shape[:2] != name.out_shape[:2]:
            intake.leave_out(item.key, "no AvgPool2D follows it")
        else:
            op = OpSpec(
                kind="convpool",
                in_shape=(1, *name.in_shape),
                out_channels=name.out_shape[2],
                act="hswish",
            )
            rows += _joined(_row(op, item, source), _row(op, pool, source), intake)
    return rows


def _joined(conv: _Row, pool: _Row, intake: Intake) -> list[_Row]:
    """Add up both parts of a head; return no row if one of them is not a latency."""
    both = (conv, pool)
    if None in [intake.latency_ns(row.foreign, row.mean, where=row.where) for row in both]:
        for row in both:
            intake.leave_out(row.foreign, "a part of the head is no latency")
        return []
    means = [number(row.mean, where=f"{row.where}: {row.foreign}") for row in both]
    spreads = [number(row.std, where=f"{row.where}: {row.foreign}: std") for row in both]
    if min(spreads) < 0:
        msg = f"{conv.where}: {conv.foreign}: a standard deviation of the head is negative."
        raise DataError(msg)
    return [replace(conv, mean=sum(means), std=hypot(*spreads))]


_CHECK: type[Importer] = OfaYaml
