"""Latencies in a CSV file: the columns `operation`, a key of hwnat, and `latency_us`."""

import csv
from collections.abc import Mapping, Sequence

from hwnat.errors import DataError, HwnatError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Imported, Request, Source, Unit
from hwnat.table.importers.intake import Intake

COLUMNS = ["operation", "latency_us"]


class PlainCsv:
    """Reads a CSV file with a header and one operation in each row."""

    format: str = "plain-csv"
    unit: Unit = "us"
    options: Mapping[str, str] = {}

    def read(self, sources: Sequence[Source], request: Request) -> Imported:
        """Read the files of one device.

        Raises:
            DataError: a file has other columns, or a value is not a latency.
        """
        intake = Intake(request, name=self.format, unit=self.unit, sources=sources)
        for source in sources:
            self._read_file(source, intake)
        return intake.done(granularity="operator")

    def _read_file(self, source: Source, intake: Intake) -> None:
        header, *lines = source.text.splitlines() or [""]
        if header.split(",") != COLUMNS:
            message = f"{source.at(1)}: the columns are not {','.join(COLUMNS)}."
            raise DataError(message)
        for line, row in enumerate(csv.reader(lines), start=2):
            if len(row) != len(COLUMNS):
                message = f"{source.at(line)}: {len(row)} columns, not {len(COLUMNS)}."
                raise DataError(message)
            key, latency = row
            try:
                operation = OpSpec.from_key(key)
            except HwnatError as refused:
                intake.leave_out(key, str(refused))
                continue
            intake.add(operation, latency, foreign=key, where=source.at(line))
