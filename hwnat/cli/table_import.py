"""`hwnat table import`: tables of published latencies."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, options_of, print_json

if TYPE_CHECKING:
    from hwnat.table.importers.base import Finding

#: Lines of one rule or reason that are printed; --json prints all.
SHOWN: Final = 8

files_argument = click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
unit_option = click.option(
    "--unit",
    type=click.Choice(["ns", "us", "ms", "s"]),
    help="Unit of the numbers. Default: that of the format.",
)
format_options = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the format. Repeatable.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What `hwnat table import` was asked for."""

    files: tuple[Path, ...]
    file_format: str
    device: str
    unit: Any  # one of the choices
    options: tuple[str, ...]
    target: str | None
    runtime: str | None
    runtime_version: str | None
    threads: int | None
    precision: str | None
    out: Path | None
    force: bool
    as_json: bool


@click.command("import")
@files_argument
@click.option("--format", "file_format", required=True, help="Format of the files.")
@click.option("--device", required=True, help="Device that was measured.")
@unit_option
@format_options
@click.option("--target", help="Model format, such as tflite.")
@click.option("--runtime", help="Runtime that ran the models.")
@click.option("--runtime-version", help="Version of the runtime.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the runtime.")
@click.option("--precision", help="Precision, such as fp32. Must agree with the operations.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Table file to write. Default: latency_tables/DEVICE/NAME.json.",
)
@click.option("--force", is_flag=True, help="Replace a table of another kind. Default: refuse.")
@json_option
@options_of(ImportRequest)
def import_files(request: ImportRequest) -> None:
    """Write a table of latencies that others published.

    Nothing is guessed: facts that neither the files nor the options give stay unknown. Entries
    that are left out are listed on stderr, and so is what `hwnat table lint` finds.
    """
    from hwnat.device.conditions import now
    from hwnat.table.importers.assemble import to_table
    from hwnat.table.importers.base import Facts, Request
    from hwnat.table.importers.base import import_files as read
    from hwnat.table.lint import lint
    from hwnat.table.lookup import default_path
    from hwnat.table.place import save_table
    from hwnat.table.subject import Subject

    asked = Request(device=request.device, unit=request.unit, options=pairs(request.options))
    imported = read(request.file_format, request.files, asked)
    facts = Facts(
        target=request.target,
        runtime=request.runtime,
        runtime_version=request.runtime_version,
        threads=request.threads,
        precision=request.precision,
    )
    table = to_table(imported, created=now(), facts=facts)
    report = lint([Subject.of_imported(imported)])
    path = request.out or default_path(table)
    save_table(table, path, force=request.force)
    print_left_out(imported.unmapped)
    print_findings(report.findings, to_stderr=True)
    if request.as_json:
        content = {"table": path, "table_id": table.table_id, "entries": len(table.entries)}
        left_out = {"left_out": dict(imported.unmapped), "findings": report.findings}
        print_json({**content, **left_out})
    else:
        echo(path)


def pairs(options: Sequence[str]) -> dict[str, str]:
    """Split NAME=VALUE options."""
    from hwnat.errors import UsageError

    values: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals) or name in values:
            msg = f"--option {option}: expected NAME=VALUE, with every name once."
            raise UsageError(msg)
        values[name] = value
    return values


def print_left_out(unmapped: Mapping[str, str]) -> None:
    """Print on stderr which operations have no entry, by reason."""
    by_reason = defaultdict(list)
    for key, reason in unmapped.items():
        by_reason[reason].append(key)
    for reason, keys in by_reason.items():
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        echo(f"left out ({reason}): {', '.join(keys[:SHOWN])}{more}", err=True)


def print_findings(findings: "Sequence[Finding]", *, to_stderr: bool) -> None:
    """Print the first findings of every rule, and how many more there are."""
    by_rule: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        by_rule[(finding.severity, finding.rule)].append(finding)
    for (severity, rule), group in by_rule.items():
        for finding in group[:SHOWN]:
            echo(f"{severity} [{rule}] {finding}", err=to_stderr)
        if len(group) > SHOWN:
            more = f"{severity} [{rule}] and {len(group) - SHOWN} more; --json lists all"
            echo(more, err=to_stderr)
