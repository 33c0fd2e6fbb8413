"""`hwnat table lint`: known traps in latency tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import count, json_option, options_of, print_json
from hwnat.cli.table_import import (
    files_argument,
    format_options,
    pairs,
    print_findings,
    print_left_out,
    unit_option,
)

if TYPE_CHECKING:
    from hwnat.table.lint import LintReport
    from hwnat.table.subject import Subject

#: Files that an error message names.
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LintRequest:
    """What `hwnat table lint` was asked for."""

    files: tuple[Path, ...]
    file_format: str | None
    devices: tuple[str, ...]
    unit: Any  # one of the choices
    options: tuple[str, ...]
    networks: tuple[str, ...]
    as_json: bool


@click.command()
@files_argument
@click.option("--format", "file_format", help="Format of the files. Default: tables of hwnat.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Device to read from all files together. Repeatable. Default: one device per file.",
)
@unit_option
@format_options
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="GENOME[=MS]",
    help="A published network of the table's space, with its published latency. Repeatable.",
)
@json_option
@options_of(LintRequest)
def lint(request: LintRequest) -> None:
    """Find entries that make a table misleading. Exits with 1 if there are errors.

    Reads tables of hwnat or, with --format, files that others published. Give the tables of several
    devices to find entries that were copied from one to another. Warnings do not change the exit
    code.
    """
    from hwnat.errors import GateError
    from hwnat.table.lint import lint as check

    subjects = _subjects(request)
    if published := [_network(network) for network in request.networks]:
        subjects = [subject.with_networks(published) for subject in subjects]
    report = check(subjects)
    (_print_as_json if request.as_json else _print_report)(report, subjects)
    if report.errors:
        files = ", ".join(map(str, request.files[:_NAMED]))
        more = ", …" if len(request.files) > _NAMED else ""
        msg = (
            f"{count(report.errors, 'error')} in {files}{more}. Correct what the lines above name."
        )
        raise GateError(msg)


def _subjects(request: LintRequest) -> list["Subject"]:
    """Read the files: tables of hwnat, or files of a format."""
    from hwnat.errors import UsageError
    from hwnat.table.importers.base import Request, import_files
    from hwnat.table.subject import Subject

    files, options = request.files, pairs(request.options)
    if request.file_format is None:
        if request.devices or options or request.unit:
            msg = "--device, --unit and --option describe files of a format. Name it with --format."
            raise UsageError(msg)
        return [Subject.of_file(path) for path in files]
    groups = [(device, tuple(files)) for device in request.devices]
    groups = groups or [(_device_of(path), (path,)) for path in files]
    subjects = []
    for device, paths in groups:
        asked = Request(device=device, unit=request.unit, options=options, lenient=True)
        subjects.append(Subject.of_imported(import_files(request.file_format, paths, asked)))
    return subjects


def _device_of(path: Path) -> str:
    """Name the device of a file by its whole path: file names may be equal."""
    return "_".join(path.with_suffix("").parts).strip("/_")


def _network(text: str) -> tuple[str, int | None]:
    """Split GENOME[=MS]."""
    from hwnat.table.importers.values import to_ns

    genome, equals, ms = text.partition("=")
    return genome, to_ns(ms, "ms", where=f"--network {genome}") if equals else None


def _print_as_json(report: "LintReport", subjects: Sequence["Subject"]) -> None:
    print_json(
        {
            "tables": [subject.name for subject in subjects],
            "entries": [len(subject.entries) for subject in subjects],
            "errors": report.errors,
            "warnings": report.warnings,
            "findings": report.findings,
            "not_applied": dict(report.not_applied),
            "left_out": [dict(subject.unmapped) for subject in subjects],
        }
    )


def _print_report(report: "LintReport", subjects: Sequence["Subject"]) -> None:
    for subject in subjects:
        print_left_out(subject.unmapped)
    print_findings(report.findings, to_stderr=False)
    for rule, reason in report.not_applied.items():
        echo(f"not applied: {rule}: {reason}", err=True)
    entries = sum(len(subject.entries) for subject in subjects)
    echo(
        f"{count(report.errors, 'error')}, {count(report.warnings, 'warning')} in "
        f"{count(entries, 'entry', 'entries')} of {count(len(subjects), 'table')}"
    )
