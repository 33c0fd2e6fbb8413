"""`hwnat table import` and `hwnat table lint`: published latencies, and traps in any table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hwnat.cli.output import json_option, print_json

if TYPE_CHECKING:
    from hwnat.table.importers.base import Finding, Imported, Request
    from hwnat.table.lint import Report
    from hwnat.table.subject import Subject

#: Lines of one rule or reason that are printed; --json has all.
_SHOWN: Final = 8

_FILES = click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
_UNIT = click.option(
    "--unit", type=click.Choice(["ns", "us", "ms", "s"]), help="If it is not the format's own."
)
_OPTION = click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="What a format asks for."
)


@click.command("import")
@_FILES
@click.option("--format", "name", required=True, help="Format of the files.")
@click.option("--device", required=True, help="Device that the numbers are of.")
@_UNIT
@_OPTION
@click.option("--target", help="Model format, such as tflite.")
@click.option("--runtime", help="What ran the models.")
@click.option("--runtime-version", help="Its version.")
@click.option("--threads", type=click.IntRange(1), help="Threads it used.")
@click.option("--precision", help="Such as fp32; must be that of the keys.")
@click.option("--out", type=click.Path(path_type=Path), help="Table file to write.")
@json_option
def import_files(
    files: tuple[Path, ...],
    name: str,
    device: str,
    unit: Any,  # noqa: ANN401 - one of the choices
    options: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **facts: Any,  # noqa: ANN401 - texts and a number, each of its option's type
) -> None:
    """Make a table of published latencies; what is left out is said on stderr.

    Nothing is guessed: what the files do not say and no option says stays unknown. The table is
    checked as by `hwnat table lint`; findings are printed, and it is written all the same.
    """
    from hwnat.device.conditions import now
    from hwnat.table.importers.assemble import to_table
    from hwnat.table.importers.base import Facts, Request
    from hwnat.table.lint import lint as check
    from hwnat.table.lookup import default_path
    from hwnat.table.subject import Subject

    request = Request(device=device, unit=unit, options=_pairs(options))
    imported = _read(name, files, request)
    table = to_table(imported, created=now(), facts=Facts(**facts))
    report = check([Subject.of_imported(imported)])
    path = out or default_path(table)
    table.save(path)
    _print_left_out(imported.unmapped)
    _print_findings(report.findings, to_stderr=True)
    if as_json:
        content = {"table": path, "table_id": table.table_id, "entries": len(table.entries)}
        left_out = {"left_out": dict(imported.unmapped), "findings": report.findings}
        print_json({**content, **left_out})
    else:
        click.echo(path)


@click.command()
@_FILES
@click.option("--format", "name", help="Format of the files; left out, they are our tables.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Read the files together, as this device's; left out, each is a device of its own.",
)
@_UNIT
@_OPTION
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="GENOME[=MS]",
    help="A published network of the table's space, and its published latency.",
)
@json_option
def lint(
    files: tuple[Path, ...],
    name: str | None,
    devices: tuple[str, ...],
    unit: Any,  # noqa: ANN401 - one of the choices
    options: tuple[str, ...],
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find what makes tables misleading; exit code 1 if there are errors.

    Takes our own tables, or with --format files that others published. Give several devices'
    tables to find entries copied between them. Warnings leave the exit code at 0.
    """
    from hwnat.errors import GateError
    from hwnat.table.lint import lint as check

    subjects = _subjects(files, name, devices, unit, _pairs(options))
    if published := [_network(each) for each in networks]:
        subjects = [each.with_networks(published) for each in subjects]
    report = check(subjects)
    (_print_as_json if as_json else _print_report)(report, subjects)
    if report.errors:
        msg = f"{report.errors} errors in {', '.join(map(str, files[:3]))}"
        msg += (", …" * (len(files) > 3)) + "; correct them as each line says."
        raise GateError(msg)


def _subjects(
    files: Sequence[Path],
    name: str | None,
    devices: Sequence[str],
    unit: Any,  # noqa: ANN401 - one of the choices
    options: Mapping[str, str],
) -> list["Subject"]:
    """Read what is to be looked at: our tables, or with a format's name files of others."""
    from hwnat.errors import UsageError
    from hwnat.table.importers.base import Request
    from hwnat.table.subject import Subject

    if name is None:
        if devices or options or unit:
            msg = "--device, --unit and --option are about files of others; give --format too."
            raise UsageError(msg)
        return [Subject.of_file(path) for path in files]
    groups = [(each, tuple(files)) for each in devices] or [(_own(path), (path,)) for path in files]
    return [
        Subject.of_imported(
            _read(name, paths, Request(device=device, unit=unit, options=options, lenient=True))
        )
        for device, paths in groups
    ]


def _own(path: Path) -> str:
    """Name the device of a file: tables of several devices may well have one file name."""
    return "_".join(path.with_suffix("").parts).strip("/_")


def _read(name: str, files: Sequence[Path], request: "Request") -> "Imported":
    from hwnat.table.importers.base import import_files as read

    return read(name, files, request)


def _pairs(options: Sequence[str]) -> dict[str, str]:
    """Split NAME=VALUE."""
    from hwnat.errors import UsageError

    found = {}
    for each in options:
        name, equals, value = each.partition("=")
        if not (name and equals) or name in found:
            msg = f"--option {each}: expected NAME=VALUE, each name once."
            raise UsageError(msg)
        found[name] = value
    return found


def _network(text: str) -> tuple[str, int | None]:
    """Split GENOME[=MS]."""
    from hwnat.table.importers.values import to_ns

    genome, equals, ms = text.partition("=")
    return genome, to_ns(ms, "ms", where=f"--network {genome}") if equals else None


def _print_left_out(unmapped: Mapping[str, str]) -> None:
    """Say on stderr what has no entry, by reason."""
    by_reason = defaultdict(list)
    for key, reason in unmapped.items():
        by_reason[reason].append(key)
    for reason, keys in by_reason.items():
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        shown = ", ".join(keys[:_SHOWN])
        click.echo(f"left out ({reason}): {shown}{more}", err=True)


def _print_as_json(report: "Report", subjects: Sequence["Subject"]) -> None:
    print_json(
        {
            "tables": [each.name for each in subjects],
            "entries": [len(each.entries) for each in subjects],
            "errors": report.errors,
            "warnings": report.warnings,
            "findings": report.findings,
            "not_applied": dict(report.not_applied),
            "left_out": [dict(each.unmapped) for each in subjects],
        }
    )


def _print_report(report: "Report", subjects: Sequence["Subject"]) -> None:
    for each in subjects:
        _print_left_out(each.unmapped)
    _print_findings(report.findings, to_stderr=False)
    for rule, reason in report.not_applied.items():
        click.echo(f"not applied: {rule}: {reason}", err=True)
    entries = sum(len(each.entries) for each in subjects)
    click.echo(
        f"{report.errors} errors, {report.warnings} warnings in {entries} entries "
        f"of {len(subjects)} table(s)"
    )


def _print_findings(findings: Sequence["Finding"], *, to_stderr: bool) -> None:
    """Print the first findings of each rule, and how many more there are."""
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for each in findings:
        groups[(each.severity, each.rule)].append(each)
    for (severity, rule), found in groups.items():
        for each in found[:_SHOWN]:
            click.echo(f"{severity} [{rule}] {each}", err=to_stderr)
        if len(found) > _SHOWN:
            more = f"{severity} [{rule}] and {len(found) - _SHOWN} more; --json lists all"
            click.echo(more, err=to_stderr)
