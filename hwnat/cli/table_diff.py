"""`hwnat table diff`: what moved between two latency tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import (
    count,
    json_option,
    key,
    milliseconds,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from hwnat.table.diff import TableDiff

#: Rows that are printed; --json prints all.
_SHOWN: Final = 20
#: Keys that are printed of entries that only one table has.
_KEYS: Final = 3


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--fail-over",
    type=click.FloatRange(min=0, min_open=True),
    metavar="PERCENT",
    help="Exit with 1 if a changed entry or the median network got slower by more than this.",
)
@click.option(
    "--force", is_flag=True, help="Compare tables of different precisions, batches or spaces."
)
@json_option
def diff(before: Path, after: Path, fail_over: float | None, force: bool, as_json: bool) -> None:
    """Print the entries whose 90 % intervals do not overlap.

    BEFORE and AFTER are table files.
    """
    from hwnat.errors import GateError, InconclusiveError
    from hwnat.table.diff import diff as compare
    from hwnat.table.lookup import load_table

    change = compare(load_table(before), load_table(after), force=force)
    if as_json:
        print_json(change)
    else:
        _print(change)
    if fail_over is None:
        return
    if change.median_ratio is None:
        msg = (
            f"{before} and {after} have no entry in common, so nothing was compared. Compare "
            "tables of one space, or two tables of operators."
        )
        raise InconclusiveError(msg)
    if slower := change.slower_than(fail_over):
        msg = (
            f"{count(len(slower), 'entry', 'entries')} slower by more than {fail_over:g} %, such "
            f"as {slower[0]}. Print them with: hwnat table diff {before} {after}"
        )
        raise GateError(msg)


def _print(change: "TableDiff") -> None:
    echo(f"from {change.before}")
    echo(f"to   {change.after}")
    for what, before, after in change.setup:
        echo(f"  {what}: {before} -> {after}")
    common = count(len(change.moved) + change.steady, "entry", "entries")
    print_line(f"{len(change.moved)} of {common} have intervals that do not overlap")
    if change.median_ratio is not None:
        print_line(
            f"median ratio {change.median_ratio:.3f}, median change {change.median_change:.1%}, "
            f"95th percentile {change.p95_change:.1%}"
        )
    if change.moved:
        rows = [
            (
                entry.key,
                milliseconds(entry.before_ns),
                milliseconds(entry.after_ns),
                f"{entry.ratio:.3f}",
            )
            for entry in change.moved[:_SHOWN]
        ]
        echo()
        print_table("", (key("operation"), "before ms", "after ms", "ratio"), rows)
        echo()
    if len(change.moved) > _SHOWN:
        echo(f"and {len(change.moved) - _SHOWN} more; --json lists all")
    for name, keys in (("new", change.new), ("gone", change.gone)):
        if keys:
            more = ", …" if len(keys) > _KEYS else ""
            examples = ", ".join(keys[:_KEYS])
            print_line(f"{name}: {count(len(keys), 'entry', 'entries')}: {examples}{more}")
    if change.networks:
        networks = change.networks
        print_line(
            f"whole networks, calibrated: median ratio {networks.median:.3f} "
            f"({networks.lowest:.3f} to {networks.highest:.3f}), {networks.compared} compared, "
            f"{networks.uncovered} not covered by both tables"
        )
