"""What commands share: JSON and tables on stdout, progress on a terminal, common options."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hwnat.predict.score import Agreement, Evaluation

#: Where long work keeps what it resumes from.
RUNS: Final = Path("runs")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: object) -> None:
    """Print a value as JSON; records become objects, paths text."""
    click.echo(json.dumps(value, default=_encode, indent=2))


def _encode(value: Any) -> object:  # noqa: ANN401 - whatever json does not know
    from dataclasses import asdict, is_dataclass

    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def console(*, stderr: bool = False) -> "Console":
    """Return a console; it obeys NO_COLOR and writes plain text where no terminal is."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; every column but the first is aligned to the right."""
    from rich.table import Table

    grid = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        grid.add_column(
            column, justify="right" if index else "left", no_wrap=True, overflow="ignore"
        )
    for row in rows:
        grid.add_row(*map(str, row))
    out = console()
    if not out.is_terminal:
        # A pipe has no width: never cut what a program is going to read.
        out.width = 1000
    out.print(grid)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a callback (stage, done, total) that draws a bar; None where no terminal is."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn()
    bar = Progress(*columns, TimeElapsedColumn(), Remaining(), console=console(stderr=True))
    tasks: dict[str, Any] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage)
        bar.update(tasks[stage], completed=done, total=total)

    with bar:
        yield report


def say(words: str) -> None:
    """Print a line of words about what is going on; above a progress bar if there is one."""
    click.echo(words, err=True)


def milliseconds(ns: float) -> str:
    """Format nanoseconds for people.

    >>> milliseconds(1_234_567)
    '1.235'
    """
    return f"{ns / 1e6:.3f}"


def print_evaluation(found: "Evaluation") -> None:
    """Print a method's agreement with measurements beside that of plainer methods."""
    columns = (
        "method",
        "n",
        "mean error",
        "bias",
        "within 5 %",
        "within 10 %",
        "Kendall",
        "in 90 %",
    )
    methods = {"hwnat": found, **found.baselines}
    print_table("", columns, [(name, *_row(each)) for name, each in methods.items()])
    for name, value in found.facts.items():
        click.echo(f"{name:<20}{value}")


def _row(each: "Agreement") -> tuple[str, ...]:
    optional = (each.kendall, each.coverage90)
    kendall, covered = ("" if value is None else value for value in optional)
    return (
        str(each.n),
        f"{each.mape:.1%}",
        f"{each.bias:+.1%}",
        f"{each.within5:.0%}",
        f"{each.within10:.0%}",
        f"{kendall:.2f}" if kendall != "" else "",
        f"{covered:.0%}" if covered != "" else "",
    )
