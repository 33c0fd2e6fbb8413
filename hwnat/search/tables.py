"""The latency tables of a search: loaded, checked, and kept in the folder of the run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from hwnat.errors import UsageError
from hwnat.profile.file import why_untimed
from hwnat.records.space import Space, get_space
from hwnat.search.objectives import Limit, Objective
from hwnat.search.run import SearchConfig
from hwnat.table.compiled import mismatch
from hwnat.table.lookup import LatencyTable, load_table

#: Folder of a run's copies of its tables; objectives name them relative to the run.
TABLES: Final = "tables"


def adopt_tables(config: SearchConfig) -> tuple[SearchConfig, dict[str, LatencyTable]]:
    """Load the tables that a configuration names, and name them as the run keeps them.

    Args:
        config: its objectives and limits name tables by path.

    Returns:
        The same configuration with names such as `latency@tables/host-onnx-fp32-….json`, and the
        table of each such name.

    Raises:
        UsageError: a table lacks resolutions that are searched.
        DataError: a table is missing or damaged.
        TableMismatchError: a table belongs to another space.
    """
    space = get_space(config.space)
    parsed = [Objective.parse(text) for text in config.objectives]
    parsed += [Limit.parse(text).objective for text in config.limits]
    loaded = {
        objective.table: load_table(objective.table) for objective in parsed if objective.table
    }
    for path, table in loaded.items():
        _check(path, table, space, config.resolutions or space.resolutions)
    kept = {path: kept_name(table) for path, table in loaded.items()}
    renamed = replace(
        config,
        objectives=tuple(_renamed(text, kept) for text in config.objectives),
        limits=tuple(_renamed(text, kept) for text in config.limits),
    )
    return renamed, {kept[path]: table for path, table in loaded.items()}


def kept_name(table: LatencyTable) -> str:
    """Return the path of a table relative to the folder of a run; it changes with the content."""
    return f"{TABLES}/{table.name.replace('/', '-')}-{table.table_id[:8]}.json"


def warn_of_untimed(tables: Mapping[str, LatencyTable], tell: Callable[[str], None]) -> None:
    """Say before a search which tables do not let `hwnat export` time files from here."""
    for table in tables.values():
        if reason := why_untimed(table):
            tell(f"The search continues, but `hwnat export` will not time its files: {reason}")


def _check(path: str, table: LatencyTable, space: Space, resolutions: tuple[int, ...]) -> None:
    name, _ = table.of_space()
    if name != space.name:
        raise mismatch(table, "space", held=name, wanted=space.name)
    if lacking := [size for size in resolutions if size not in table.resolutions]:
        options = " ".join(f"--resolution {size}" for size in table.resolutions)
        msg = (
            f"Table {path} lacks the resolutions {', '.join(map(str, lacking))}. "
            f"Search those that it covers: {options}."
        )
        raise UsageError(msg)


def _renamed(text: str, kept: Mapping[str, str]) -> str:
    word, at, rest = text.strip().partition("@")
    path, sign, bound = rest.rpartition("<=") if "<=" in rest else (rest, "", "")
    return f"{word}@{kept[path.strip()]}{sign}{bound}" if at else text
