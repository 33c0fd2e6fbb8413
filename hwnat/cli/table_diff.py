"""`hwnat table diff`: what moved between two latency tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.output import json_option, milliseconds, print_json, print_table

if TYPE_CHECKING:
    from hwnat.table.diff import TableDiff

#: Rows that are printed; --json has all.
_SHOWN: Final = 20


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--fail-over",
    type=click.FloatRange(min=0, min_open=True),
    metavar="PERCENT",
    help="Exit with 1 if an entry beyond both intervals, or the median network, got this slower.",
)
@click.option(
    "--force", is_flag=True, help="Compare tables of another precision, batch or space too."
)
@json_option
def diff(before: Path, after: Path, fail_over: float | None, force: bool, as_json: bool) -> None:
    """Print what moved from one table to another, beyond both 90 % intervals."""
    from hwnat.errors import GateError, InconclusiveError
    from hwnat.table.diff import diff as compare
    from hwnat.table.lookup import load_table

    found = compare(load_table(before), load_table(after), force=force)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if fail_over is not None and found.median_ratio is None:
        msg = f"{before} and {after} have no entry in common, so nothing tells what got slower; "
        raise InconclusiveError(msg + "compare tables of one space and one kind of entries.")
    if fail_over is not None and (slower := found.slower_than(fail_over)):
        msg = f"{len(slower)} got slower by more than {fail_over:g} %, such as {slower[0]}; "
        raise GateError(msg + f"look with: hwnat table diff {before} {after}")


def _print(found: "TableDiff") -> None:
    click.echo(f"from {found.before}")
    click.echo(f"to   {found.after}")
    for what, one, other in found.setup:
        click.echo(f"  {what}: {one} -> {other}")
    common = len(found.moved) + found.steady
    middle = (
        ""
        if found.median_ratio is None
        else (
            f"; median ratio {found.median_ratio:.3f}, median change {found.median_change:.1%}, "
            f"95th percentile {found.p95_change:.1%}"
        )
    )
    click.echo(f"{len(found.moved)} of {common} entries moved beyond both intervals{middle}")
    rows = [
        (each.key, milliseconds(each.before_ns), milliseconds(each.after_ns), f"{each.ratio:.3f}")
        for each in found.moved[:_SHOWN]
    ]
    if rows:
        print_table("", ("operation", "before ms", "after ms", "ratio"), rows)
    if len(found.moved) > _SHOWN:
        click.echo(f"and {len(found.moved) - _SHOWN} more; --json lists all")
    for name, keys in (("new", found.new), ("gone", found.gone)):
        if keys:
            shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
            click.echo(f"{name}: {len(keys)} entries: {shown}")
    if found.networks:
        nets = found.networks
        click.echo(
            f"whole networks, calibrated: median ratio {nets.median:.3f} ({nets.lowest:.3f} to "
            f"{nets.highest:.3f}), {nets.compared} compared, {nets.uncovered} not covered by both"
        )
