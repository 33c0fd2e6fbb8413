"""Prints JSON, tables and facts on stdout, the same way for all commands."""

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import click

from hwnat.cli.echo import echo
from hwnat.records.text import visible

if TYPE_CHECKING:
    from rich.console import Console

    from hwnat.predict.score import Agreement, Evaluation

#: Folder of the files from which long work resumes.
RUNS: Final = Path("runs")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
shape_option = click.option(
    "--shape",
    "shapes",
    metavar="NAME=1x3x224x224",
    multiple=True,
    help="Shape of a model's input whose sizes are not fixed, in the file's layout. Repeatable. A "
    "lone input needs no NAME=.",
)

Request = TypeVar("Request")

#: Spaces between two columns of a table.
_GAP: Final = 2
#: Least width of a text column; below it, rows become lists of facts.
_NARROW: Final = 18
#: Least width of a key while another text column can be left out.
_KEY: Final = 36
#: Width of the names in a list of facts.
_NAMES: Final = 16


def options_of(record: type[Request]) -> Callable[[Callable[[Request], None]], Callable[..., None]]:
    """Turn a function of one record into a command callback that builds the record from options."""

    def decorate(command: Callable[[Request], None]) -> Callable[..., None]:
        @wraps(command)
        def callback(**options: object) -> None:
            command(record(**options))

        return callback

    return decorate


def print_json(value: object) -> None:
    """Print a value as JSON; records become objects and paths become strings."""
    echo(json.dumps(value, default=_encode, indent=2))


def _encode(value: Any) -> object:  # noqa: ANN401 - anything that json does not know
    from dataclasses import asdict, is_dataclass

    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def console(*, stderr: bool = False, file: TextIO | None = None) -> "Console":
    """Return a console that obeys NO_COLOR and writes plain text into pipes and files."""
    from rich.console import Console

    return Console(stderr=stderr, file=file, highlight=False)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Unless it is text, its cells are never cut.

    Attributes:
        text: aligned to the left, and cut with a mark where the terminal is narrow.
        key: whether the text is cut in the middle, because its ends matter most.
        rank: text columns of a higher rank are left out first; 0 is never left out.
    """

    name: str
    text: bool = False
    key: bool = False
    rank: int = 0


def text(name: str, *, rank: int = 0) -> Column:
    """Return a column of text."""
    return Column(name, text=True, rank=rank)


def key(name: str) -> Column:
    """Return a column of operation keys."""
    return Column(name, text=True, key=True)


def print_table(
    title: str, columns: Sequence[Column | str], rows: Sequence[Sequence[object]]
) -> None:
    """Print a table that fits the terminal and in which every number is whole.

    Where the terminal is narrow, headers break at their spaces, then text is cut with `…`, then
    text columns are left out, by rank. If the numbers still do not fit, each row becomes a list of
    facts. A pipe gets everything: it has no width.

    Args:
        title: a line above the table; empty for none.
        columns: a plain string is a column of numbers.
        rows: cells in the order of `columns`; text from files is made safe to show.
    """
    out = console()
    cols = [Column(column) if isinstance(column, str) else column for column in columns]
    cells = [[_clean(cell) for cell in row] for row in rows]
    width = out.width if out.is_terminal else None
    layout = _layout(cols, cells, width)
    if title:
        print_line(title)
    if layout is None:
        _print_all(_record_lines(cols, cells, width))
        return
    bold = "{}" if out.no_color or out.color_system is None else "\x1b[1m{}\x1b[0m"
    headers = [bold.format(line) for line in _header_lines(cols, layout)]
    _print_all([*headers, *(_row_line(row, cols, layout) for row in cells)])


def _print_all(lines: Iterable[str]) -> None:
    """Print lines that hold no control characters but those of this file."""
    click.echo("\n".join(lines), color=True)  # noqa: TID251 - with a bold header


def _header_lines(columns: Sequence[Column], layout: dict[int, int]) -> list[str]:
    """Return the lines of the header; names of fewer lines stand at the bottom."""
    names = [
        [columns[index].name] if columns[index].text else _broken(columns[index].name, width)
        for index, width in layout.items()
    ]
    height = max(map(len, names), default=1)
    padded = [[""] * (height - len(name)) + name for name in names]
    return [
        _row_line(dict(zip(layout, line, strict=True)), columns, layout)
        for line in zip(*padded, strict=True)
    ]


def _row_line(
    row: Sequence[str] | Mapping[int, str], columns: Sequence[Column], layout: dict[int, int]
) -> str:
    """Return one line of a table: every column cut and padded to its width."""
    parts = []
    for index, width in layout.items():
        cell = _cut(row[index], width, columns[index])
        padding = " " * (width - _wide(cell))
        parts.append(cell + padding if columns[index].text else padding + cell)
    return (" " * _GAP).join(parts).rstrip()


def _layout(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int | None
) -> dict[int, int] | None:
    """Return the width of each column that is printed; None if the numbers alone are too wide."""
    natural = {
        index: max([_wide(column.name), *(_wide(row[index]) for row in cells)])
        for index, column in enumerate(columns)
    }
    if width is None or _total(natural) <= width:
        return natural
    least = {
        index: min(natural[index], _KEY if column.key else _NARROW)
        if column.text
        else max(_wide(part) for part in (*column.name.split(), *(row[index] for row in cells), ""))
        for index, column in enumerate(columns)
    }
    droppable = sorted(
        (index for index, column in enumerate(columns) if column.text and column.rank),
        key=lambda index: -columns[index].rank,
    )
    while _total(least) > width and droppable:
        del least[droppable.pop(0)]
    for index in least:
        if columns[index].key:
            excess = max(0, _total(least) - width)
            least[index] = max(min(natural[index], _NARROW), least[index] - excess)
    return None if _total(least) > width else _widened(least, natural, columns, width)


def _widened(
    least: dict[int, int], natural: dict[int, int], columns: Sequence[Column], width: int
) -> dict[int, int]:
    """Give the remaining width to text columns, the narrowest first, and then to headers."""
    layout, room = dict(least), width - _total(least)
    by_need = sorted(
        layout, key=lambda index: (not columns[index].text, natural[index] - least[index])
    )
    texts = [index for index in by_need if columns[index].text]
    for position, index in enumerate(texts):
        more = min(natural[index] - layout[index], room // (len(texts) - position))
        layout[index] += more
        room -= more
    for index in by_need:
        # A header gains nothing from a width that still breaks it.
        if not columns[index].text and 0 < natural[index] - layout[index] <= room:
            room -= natural[index] - layout[index]
            layout[index] = natural[index]
    return layout


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _wide(text: str) -> int:
    """Return the number of terminal cells that a text takes.

    ASCII takes one cell a character; only other text is looked up, which takes far longer.
    """
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _broken(header: str, width: int) -> list[str]:
    return textwrap.wrap(header, width, break_long_words=False) or [""]


def _cut(text: str, width: int, column: Column) -> str:
    """Cut a text that is too wide and mark the place."""
    if not column.text or _wide(text) <= width:
        return text
    from rich.cells import set_cell_size

    tail = (width - 1) // 2 if column.key else 0
    head = set_cell_size(text, width - 1 - tail).rstrip()
    return f"{head}…{text[len(text) - tail :].lstrip()}"


def _clean(value: object) -> str:
    """Return a value as one line in which control characters are shown as escapes."""
    return visible(str(value), lines=False)


def _record_lines(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int | None
) -> Iterator[str]:
    """Yield each row as a list of facts, with a blank line between two rows."""
    names = max(_wide(column.name) for column in columns) + _GAP
    for position, row in enumerate(cells):
        if position:
            yield ""
        for column, cell in zip(columns, row, strict=True):
            if cell:
                yield from _broken_line(f"{column.name:<{names}}{cell}", width, indent=names)


def print_facts(facts: Iterable[tuple[str, object]], *, width: int = _NAMES) -> None:
    """Print one line with name and value for each fact; `shown` formats the values."""
    for name, value in facts:
        print_line(f"{name:<{width}}{shown(value)}", indent=width)


def print_line(line: str, *, indent: int = 0) -> None:
    """Print a line, broken at spaces if the terminal is too narrow for it."""
    out = console()
    for part in _broken_line(line, out.width if out.is_terminal else None, indent=indent):
        echo(part)


def _broken_line(line: str, width: int | None, *, indent: int) -> list[str]:
    """Return the lines of a line that is broken at spaces; `width` None breaks none."""
    words = line[:indent] + _clean(line[indent:])
    if width is None or _wide(words) <= width:
        return [words.rstrip()]
    lines = textwrap.wrap(
        words[indent:],
        max(_NARROW, width - indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [
        (" " * indent if position else words[:indent]) + part for position, part in enumerate(lines)
    ]


def shown(value: object) -> str:
    """Write a value for people.

    >>> shown((2, 3)), shown(None), shown(True), shown(())
    ('2, 3', 'unknown', 'yes', 'unknown')
    """
    if value is None or value == ():
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(shown(member) for member in value)
    return _clean(value)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    >>> count(1, "network"), count(2_000, "network"), count(2, "entry", "entries")
    ('1 network', '2,000 networks', '2 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def milliseconds(ns: float) -> str:
    """Format nanoseconds for people.

    >>> milliseconds(1_234_567)
    '1.235'
    """
    return f"{ns / 1e6:.3f}"


def print_evaluation(evaluation: "Evaluation") -> None:
    """Print a method's agreement with measurements beside that of plainer methods."""
    columns = ("n", "mean error", "bias", "within 5 %", "within 10 %", "Kendall", "in 90 %")
    methods = {"hwnat": evaluation, **evaluation.baselines}
    rows = [(name, *_agreement(agreement)) for name, agreement in methods.items()]
    print_table("", (text("method"), *columns), rows)
    print_facts(evaluation.facts.items(), width=20)


def _agreement(agreement: "Agreement") -> tuple[str, ...]:
    kendall, covered = agreement.kendall, agreement.coverage90
    return (
        str(agreement.n),
        f"{agreement.mape:.1%}",
        f"{agreement.bias:+.1%}",
        f"{agreement.within5:.0%}",
        f"{agreement.within10:.0%}",
        "" if kendall is None else f"{kendall:.2f}",
        "" if covered is None else f"{covered:.0%}",
    )
