"""Where a table is written, and what it may replace there."""

from collections.abc import Mapping
from pathlib import Path

from hwnat.errors import DataError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.table.lookup import LatencyTable, load_table


def kind_of(table: LatencyTable) -> dict[str, object]:
    """Return what makes two tables comparable, by the words of a message."""
    setup = table.setup
    return {
        "space": table.space,
        "class count": table.classes,
        "batch": setup.batch,
        "device": setup.device,
        "target": setup.target,
        "delegate": setup.delegate,
        "precision": setup.precision,
        "thread count": setup.threads,
        "CPU": setup.host.cpu,
        "SoC": setup.host.soc,
        "importer": table.origin and table.origin.format,
    }


def planned_path(device: DeviceSpec, space: str) -> Path:
    """Return where the table of a profile will belong; see `hwnat.table.lookup.default_path`."""
    words = (device.target, device.delegate, device.precision, space)
    return Path("latency_tables") / device.name / f"{'-'.join(filter(None, words))}.json"


def save_table(table: LatencyTable, path: Path, *, force: bool = False) -> None:
    """Write a table; one of the same kind is replaced, any other file only if asked to.

    Args:
        table: to write.
        path: where.
        force: replace whatever is there.

    Raises:
        UsageError: `path` holds a table of another kind, entries or resolutions that this table
            lacks, or no table.
    """
    held = check_place(path, kind_of(table), resolutions=table.resolutions, force=force)
    # The profile of a space replaces its table as a whole. Imported files and models add up.
    lost = [] if held is None else [key for key in held.entries if key not in table.entries]
    if lost and table.origin is None and table.granularity == "operator":
        msg = (
            f"{path} holds {len(lost)} operators that these models lack, such as {lost[0]}. Name "
            "all models in one command, choose another file with --out, or replace the table with "
            "--force. Visits that were made are kept, so nothing is timed again."
        )
        raise UsageError(msg)
    if lost and table.origin is not None:
        msg = (
            f"{path} holds {len(lost)} entries that this import lacks, such as {lost[0]}. "
            "Import all files with one command, choose another file with --out, or replace "
            "the table with --force."
        )
        raise UsageError(msg)
    table.save(path)


def check_place(
    path: Path, kind: Mapping[str, object], *, resolutions: tuple[int, ...], force: bool = False
) -> LatencyTable | None:
    """Refuse to replace a table of another kind; known before anything is measured.

    Args:
        path: where a table is going to be written.
        kind: some or all of what `kind_of` returns for it.
        resolutions: that it is going to cover.
        force: replace whatever is there.

    Returns:
        The table that is going to be replaced; None if there is none, or with `force`.

    Raises:
        UsageError: see `save_table`.
    """
    if force or not path.exists():
        return None
    try:
        held = load_table(path)
    except DataError as refused:
        msg = (
            f"{path} exists and is not a latency table that can be read ({refused}) "
            "Choose another file with --out, or replace it with --force."
        )
        raise UsageError(msg) from refused
    known = kind_of(held)
    differing = [
        f"{word} {known[word]}, not {value}" for word, value in kind.items() if known[word] != value
    ]
    lacking = [size for size in held.resolutions if size not in resolutions]
    if lacking:
        differing.append(f"resolutions {', '.join(map(str, lacking))} as well")
    if differing:
        other = path.with_name(f"{path.stem}-2{path.suffix}")
        msg = (
            f"{path} holds another table: {'; '.join(differing)}. "
            f"Choose another file with --out, such as {other}, or replace it with --force."
        )
        raise UsageError(msg)
    return held
