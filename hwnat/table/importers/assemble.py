"""Build a latency table from imported files."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Final, TypeVar

import hwnat
from hwnat.errors import DataError
from hwnat.records.measurement import Host, Setup
from hwnat.records.op import OpSpec
from hwnat.table.calibrate import Calibration
from hwnat.table.entry import Origin
from hwnat.table.importers.base import Facts, Imported, Source
from hwnat.table.lookup import LatencyTable

T = TypeVar("T", int, str)

#: Types without a precision, such as those of indices, say nothing about that of the network.
_PRECISIONS: Final[Mapping[str, str]] = {
    "float32": "fp32",
    "float16": "fp16",
    "int8": "int8",
    "uint8": "int8",
}


def to_table(imported: Imported, *, created: str, facts: Facts | None = None) -> LatencyTable:
    """Build the table of one device from imported files.

    Args:
        imported: the content of the files.
        created: UTC, ISO 8601.
        facts: facts from the user, which override those of the format. A fact that neither states
            is stored as 0 or empty.

    Raises:
        DataError: there are no entries, or batch or precision differ between keys or from the
            stated ones.
    """
    if not imported.entries:
        msg = f"{imported.sources[0].name}: nothing in it becomes an entry, so it gives no table."
        raise DataError(msg)
    return LatencyTable(
        setup=_setup(imported, _merged(imported.facts, facts or Facts())),
        protocol=None,
        space=imported.space,
        classes=imported.classes,
        resolutions=imported.resolutions,
        granularity=imported.granularity,
        reference_ns=None,
        overhead_ns=0,
        entries=imported.entries,
        calibration=Calibration(),
        validation=(),
        conditions=(None, None),
        hwnat=hwnat.__version__,
        created=created,
        origin=Origin(
            format=imported.format,
            files=_files(imported.sources),
            unit=imported.unit,
            left_out=imported.unmapped,
        ),
    )


def _files(sources: Sequence[Source]) -> dict[str, str]:
    """Map file names to hashes; full paths if two files share a name."""
    short = {PurePath(source.name).name: source.sha256 for source in sources}
    if len(short) == len(sources):
        return short
    return {source.name: source.sha256 for source in sources}


def _setup(imported: Imported, known: Facts) -> Setup:
    """Describe the measurement; batch and precision come from the keys."""
    ops = [OpSpec.from_key(key) for key in imported.entries]
    batches = sorted({op.in_shape[0] for op in ops if op.kind != "opaque"}) or [1]
    precisions = sorted({_PRECISIONS[op.dtype] for op in ops if op.dtype in _PRECISIONS})
    return Setup(
        device=imported.device,
        host=Host(cpu=None, cores=None, machine=None, os=None),
        target=known.target or "unknown",
        runtime=known.runtime or "",
        runtime_version=known.runtime_version or "",
        threads=known.threads or 0,
        affinity=(),
        precision=_agreed("precision", precisions or ["unknown"], known.precision, imported),
        batch=_agreed("batch", batches, known.batch, imported),
        runs=0,
        warmup=0,
        visit_ms=0.0,
        reference="",
    )


def _merged(base: Facts, over: Facts) -> Facts:
    """Merge two sets of facts; values of `over` win."""
    values = {
        field.name: value
        for record in (base, over)
        for field in fields(Facts)
        if (value := getattr(record, field.name)) is not None
    }
    return Facts(**values)


def _agreed(what: str, held: list[T], stated: T | None, imported: Imported) -> T:
    """Return the value that all keys share; refuse a stated value that differs."""
    if len(held) > 1 or stated not in (None, held[0]):
        values = " and ".join(map(str, held))
        contrast = "" if stated is None else f", not {stated} as stated"
        msg = (
            f"{imported.sources[0].name}: its operations have {what} {values}{contrast}; "
            f"a table has one {what}. Import them one by one."
        )
        raise DataError(msg)
    return held[0]
