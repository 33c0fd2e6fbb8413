"""The two CSV files of qed-usc/mobile-ml-benchmark: operators and whole networks on phones.

The first has one row per operator, with time and kernel for each phone. The second has one row per
network, with mean and standard deviation for each phone and core mix. The header names the phones.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any, Final

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import (
    Facts,
    Imported,
    Importer,
    NetworkTotal,
    Request,
    Source,
    Unit,
)
from hwnat.table.importers.intake import MOST_ROWS, Intake
from hwnat.table.importers.mobile_ml_ops import described
from hwnat.table.importers.values import number
from hwnat.transport.words import printable

_NAMED: Final = ("model", "operation", "feature")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """One operator of one network.

    Attributes:
        op: the operation; None if it has no key.
        reason: why `op` is None.
        kernel: name of the kernel that ran on the device.
        time: text of the cell, in microseconds; empty if not measured on the device.
        where: file, line and column.
    """

    network: str
    operation: str
    op: OpSpec | None
    reason: str
    kernel: str
    time: str
    where: str

    @property
    def foreign(self) -> str:
        """The name of this operator in messages."""
        return f"{self.network} {self.operation} {self.kernel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One whole network; mean and standard deviation are the text of cells in microseconds."""

    name: str
    flops: str
    mean: str
    std: str
    where: str

    @property
    def std_us(self) -> float:
        """Standard deviation of the runs in microseconds.

        Raises:
            DataError: the cell is not one.
        """
        deviation_us = number(self.std, where=f"{self.where}: its deviation")
        if deviation_us < 0:
            msg = f"{self.where}: its deviation {self.std!r:.60} is negative."
            raise DataError(msg)
        return deviation_us


class MobileMlBenchmark:
    """The importer of the operator file and, if given, the file of whole networks."""

    format: str = "mobile-ml-benchmark"
    unit: Unit = "us"
    options: Mapping[str, str] = {
        "cores": "core mix of the columns, such as gpu (default) or 1large",
        "precision": "float (default) or quant",
    }

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read one device's columns; the entry of an operator is the median over its rows.

        Raises:
            DataError: a file is damaged, or has no operators.
            UsageError: no column has the device or the core mix, or a unit is given.
        """
        if request.unit not in (None, "us"):
            msg = f"Files of format {self.format} are in us; omit --unit."
            raise UsageError(msg)
        intake = Intake(request, name=self.format, unit="us", sources=sources)
        column = device_column(request.device, intake.option("cores", "gpu"), request.options)
        ops, nets = split(sources)
        rows = operator_rows(ops, column)
        keys: dict[str, list[str]] = {}
        missing: dict[str, list[str]] = {}
        for row in rows:
            known = _take(row, intake)
            (keys if known else missing).setdefault(row.network, []).append(known or row.foreign)
        networks = [] if nets is None else network_rows(nets, column)
        totals = [
            NetworkTotal(
                name=row.name,
                keys=tuple(keys.get(row.name, ())),
                measured_ns=measured_ns,
                unmapped=tuple(missing.get(row.name, ())),
                std_ns=round(1_000 * row.std_us),
            )
            for row in networks
            if (measured_ns := intake.latency_ns(row.name, row.mean, where=row.where))
        ]
        facts = Facts(target="tflite", runtime="tflite")
        return intake.done(granularity="operator", networks=totals, facts=facts)


def _take(row: OperatorRow, intake: Intake) -> str:
    """Pass one operator to the intake; return its key, or "" if it has no entry."""
    if row.op is None or not row.time:
        intake.leave_out(row.foreign, row.reason or "not measured on this device")
        return ""
    if intake.latency_ns(row.foreign, row.time, where=row.where) is None:
        intake.leave_out(row.foreign, "its value is no latency")
        return ""
    intake.add_repeat(row.op, row.time, foreign=row.foreign, where=row.where)
    return row.op.key


def device_column(device: str, cores: str, options: Mapping[str, str] | None = None) -> str:
    """Return the prefix of the columns of a device and core mix: `pixel4|gpu|float`.

    Raises:
        UsageError: a part contains the separator `|`.
    """
    parts = (device, cores, (options or {}).get("precision", "float"))
    if odd := [part for part in parts if "|" in part]:
        msg = f"{odd[0]!r:.40} is not a device, core mix or precision: none of them contains a bar."
        raise UsageError(msg)
    return "|".join(parts)


def split(sources: Sequence[Source]) -> tuple[Source, Source | None]:
    """Return the operator file and the network file, distinguished by their headers.

    Raises:
        DataError: there is no operator file, or there are two files of one kind.
    """
    ops = [source for source in sources if "operation" in _header(source)]
    nets = [source for source in sources if "operation" not in _header(source)]
    if len(ops) != 1 or len(nets) > 1:
        msg = (
            f"{', '.join(source.name for source in sources)}: expected one file with a column "
            f"'operation' and at most one without, not {len(ops)} and {len(nets)}."
        )
        raise DataError(msg)
    return ops[0], nets[0] if nets else None


def operator_rows(source: Source, column: str) -> tuple[OperatorRow, ...]:
    """Return every operator of the file in order; `column` comes from `device_column`.

    Raises:
        DataError: the file is damaged; the message names file, line and column.
        UsageError: the file has no such column; the message lists its devices.
    """
    table = list(_rows(source, _NAMED))
    header = _header(source)
    device, cores, precision = column.split("|")
    kernel = f"{device}|{cores}|kernel"
    for needed in (column, kernel):
        _need(needed, header, source)
    kernels = [name for name in header if name.endswith("|kernel")]
    rows = []
    for line, cells in table:
        where = f"{source.at(line)}: column 'feature'"
        tails = [cells[name] for name in kernels]
        op, reason = described(cells["operation"], cells["feature"], tails, where=where)
        if op is not None and precision == "quant":
            op = replace(op, dtype="int8")
        rows.append(
            OperatorRow(
                network=_filled(cells["model"], "model", where=source.at(line)),
                operation=_filled(cells["operation"], "operation", where=source.at(line)),
                op=op,
                reason=reason,
                kernel=printable(cells[kernel], limit=80),
                time=cells[column].strip(),
                where=f"{source.at(line)}: column '{column}'",
            )
        )
    return tuple(rows)


def network_rows(source: Source, column: str) -> tuple[NetworkRow, ...]:
    """Return the whole networks of the file that were measured.

    Raises:
        DataError: the file is damaged, or names a network twice.
        UsageError: the file has no such column.
    """
    table = list(_rows(source, ("model", "FLOPS")))
    mean, std = f"{column}|mean", f"{column}|std"
    for needed in (mean, std):
        _need(needed, _header(source), source)
    networks: dict[str, NetworkRow] = {}
    for line, cells in table:
        name = _filled(cells["model"], "model", where=source.at(line))
        where = f"{source.at(line)}: column '{mean}'"
        if name in networks:
            msg = f"{source.at(line)}: network '{name}' occurs twice. Remove one."
            raise DataError(msg)
        networks[name] = NetworkRow(
            name=name,
            flops=cells["FLOPS"],
            mean=cells[mean].strip(),
            std=cells[std].strip(),
            where=where,
        )
    return tuple(row for row in networks.values() if row.mean)


def _rows(source: Source, named: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, column -> cell) of a CSV file that must have the columns `named`."""
    header = _header(source)
    if lacking := [name for name in named if name not in header]:
        msg = f"{source.at(1)}: no column '{lacking[0]}'; is it of format mobile-ml-benchmark?"
        raise DataError(msg)
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        msg = f"{source.at(1)}: column '{twice}' occurs twice. Remove one."
        raise DataError(msg)
    reader = _reader(source)
    try:
        next(reader)
        for cells in reader:
            if reader.line_num > MOST_ROWS:
                msg = f"{source.name}: over {MOST_ROWS:,} rows, the limit. Split the file."
                raise DataError(msg)
            if len(cells) != len(header):
                msg = f"{source.at(reader.line_num)}: {len(cells)} cells for {len(header)} columns."
                raise DataError(msg)
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as damage:
        msg = f"{source.at(reader.line_num)}: not CSV ({damage}); get the file again."
        raise DataError(msg) from damage


def _header(source: Source) -> list[str]:
    try:
        return next(_reader(source), [])
    except csv.Error as damage:
        msg = f"{source.at(1)}: not CSV ({damage}); get the file again."
        raise DataError(msg) from damage


def _need(column: str, header: Sequence[str], source: Source) -> None:
    if column in header:
        return
    known = sorted({"|".join(name.split("|")[:2]) for name in header if name.count("|") > 1})
    msg = (
        f"{source.name}: no column '{column}'. Choose device and core mix from: "
        f"{', '.join(known) or 'none'}."
    )
    raise UsageError(msg)


def _filled(cell: str, column: str, *, where: str) -> str:
    if not cell.strip() or not cell.isprintable():
        msg = f"{where}: column '{column}' is empty or unprintable: {cell[:60]!r}."
        raise DataError(msg)
    return cell


def _reader(source: Source) -> Any:  # noqa: ANN401 - csv has no public type for it
    return csv.reader(StringIO(source.text, newline=""), strict=True)


_CHECK: type[Importer] = MobileMlBenchmark
