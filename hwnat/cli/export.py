"""`hwnat export`: networks of a search as files that are checked, scored and timed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import (
    RUNS,
    json_option,
    milliseconds,
    options_of,
    print_json,
    print_table,
    text,
)

if TYPE_CHECKING:
    from hwnat.data.readers import Dataset
    from hwnat.export.subnet import ExportReport
    from hwnat.table.lookup import LatencyTable

#: Training images that the scales of INT8 files are fitted to.
_CALIBRATION_IMAGES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What `hwnat export` was asked for."""

    folder: Path
    pick: str
    to: str
    out: Path | None
    tables: tuple[Path, ...]
    data: str | None
    cache: Path
    as_json: bool

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets in order, each once.

        Raises:
            UsageError: none, or one that does not exist; no target is loaded to find out.
        """
        from hwnat import plugins
        from hwnat.errors import UsageError

        wanted = tuple(dict.fromkeys(filter(None, (name.strip() for name in self.to.split(",")))))
        known = plugins.names("hwnat.targets")
        for name in wanted:
            if name not in known:
                plugins.load("hwnat.targets", name)
        if not wanted:
            msg = f"--to names no target. Known targets: {', '.join(known)}."
            raise UsageError(msg)
        return wanted


@click.command()
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    default=RUNS / "search",
    show_default=True,
    help="Folder of a finished search.",
)
@click.option(
    "--pick",
    default="knee",
    show_default=True,
    help="Network to export: knee, fastest, most-accurate, or its number on the front.",
)
@click.option(
    "--to",
    default="onnx,tflite,openvino",
    show_default=True,
    help="Targets to export to, separated by commas.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write. Default: RUN/export/PICK."
)
@click.option(
    "--table",
    "tables",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Latency table to time and predict with. Repeatable. Default: the search's tables.",
)
@click.option(
    "--data",
    help="Data of the search, if it was moved. Default: where the search read it.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=RUNS / "models",
    show_default=True,
    help="Folder of exported models, for the tables' references.",
)
@json_option
@options_of(ExportRequest)
def export(request: ExportRequest) -> None:
    """Write a network of a finished search as model files.

    Each file is compared with PyTorch, scored on the test set through its own runtime, and timed
    if there is a latency table for it. If a file differs from PyTorch, nothing is written.
    """
    from hwnat.search.run import read_front, weights_path

    # Options and folder are checked before PyTorch or a runtime is loaded.
    targets = request.targets
    read_front(request.folder).pick(request.pick)
    weights_path(request.folder)
    if request.tables:
        tables = _load_tables(request.tables, targets)
    else:
        tables = _search_tables(request.folder, targets)
    report = export_pick(
        request.folder,
        request.pick,
        targets=targets,
        out=request.out,
        tables=tables,
        data=request.data,
        cache=request.cache,
    )
    if request.as_json:
        print_json(report)
    else:
        print_report(report)
    for file in report.files:
        if file.timing is None:
            echo(f"{file.target}: not timed: {file.untimed}", err=True)


def _load_tables(paths: Sequence[Path], targets: Sequence[str]) -> "dict[str, LatencyTable]":
    """Load tables by target; each must belong to a file that is written."""
    from hwnat.errors import UsageError
    from hwnat.table.lookup import load_table

    loaded: dict[str, LatencyTable] = {}
    for path in paths:
        table = load_table(path)
        target = table.setup.target
        if target in loaded:
            msg = f"--table {path} is the second table of target {target}. Leave one out."
            raise UsageError(msg)
        if target not in targets:
            msg = (
                f"--table {path} is for target {target}, which is not exported. Leave the table "
                f"out, or add {target} to --to."
            )
            raise UsageError(msg)
        loaded[target] = table
    return loaded


def _search_tables(folder: Path, targets: Sequence[str]) -> "dict[str, LatencyTable]":
    """Load the tables that the search used, if their targets are written."""
    from hwnat.search.run import kept_table, read_front
    from hwnat.table.lookup import load_table

    tables = {}
    for name in read_front(folder).objectives:
        if "@" not in name:
            continue
        path = kept_table(folder, name)
        if path is None:
            echo(f"{folder} does not hold the table of {name}.", err=True)
            continue
        table = load_table(path)
        if table.setup.target in targets:
            tables[table.setup.target] = table
    return tables


def export_pick(  # noqa: PLR0913 - one keyword for each thing that a caller may choose
    folder: Path,
    pick: str = "knee",
    *,
    targets: Sequence[str] = ("onnx", "tflite", "openvino"),
    out: Path | None = None,
    tables: "Mapping[str, LatencyTable] | None" = None,
    data: str | None = None,
    cache: Path = RUNS / "models",
) -> "ExportReport":
    """Export a network of a finished search with its adapted weights.

    Args:
        folder: of the search.
        pick: knee, fastest, most-accurate, or the number of the network on the front.
        targets: formats to write.
        out: folder to write; None is `export/PICK` in `folder`.
        tables: latency table by target, to time and predict with.
        data: where the search's data is now; None is where the search read it.
        cache: folder of exported models, for the tables' references.

    Raises:
        UsageError: no finished search, no such network, an unknown target, or data that is not
            the search's.
        DataError: a file differs from PyTorch; nothing is written.
        TableMismatchError: a table is for other networks or another machine.
    """
    import numpy as np

    from hwnat.export.subnet import export_subnet
    from hwnat.search.run import read_config, read_front, weights_path
    from hwnat.supernet.accuracy import Evaluator
    from hwnat.supernet.inputs import network_inputs
    from hwnat.supernet.network import Supernet

    front, config = read_front(folder), read_config(folder)
    _, arch = front.pick(pick)
    dataset = _data_of(folder, data or front.data)
    supernet = Supernet.load(weights_path(folder))
    seen = dataset.train.take(np.arange(min(len(dataset.train), _CALIBRATION_IMAGES)))
    evaluator = Evaluator(supernet, dataset, calibration=config.calibration, seed=config.seed)
    return export_subnet(
        evaluator.subnet(arch),
        arch,
        classes=dataset.classes,
        images=network_inputs(dataset, dataset.test, arch.resolution).contiguous().numpy(),
        labels=dataset.test.labels,
        targets=targets,
        folder=out or folder / "export" / pick,
        tables=tables,
        cache=cache,
        calibration=network_inputs(dataset, seen, arch.resolution).contiguous().numpy(),
    )


def _data_of(folder: Path, name: str) -> "Dataset":
    """Load the data of the search in `folder`, known by its digest, from wherever it is now."""
    from hwnat.data.readers import load_dataset
    from hwnat.errors import UsageError
    from hwnat.search.run import read_config

    if Path(name).is_absolute() and not Path(name).exists():
        msg = f"The data of {folder} is not at {name}. Name its new place with --data."
        raise UsageError(msg)
    dataset = load_dataset(name)
    if dataset.digest != dict(read_config(folder).inputs).get("data"):
        msg = f"{name} is not the data that {folder} was searched with. Name that data with --data."
        raise UsageError(msg)
    return dataset


def print_report(report: "ExportReport") -> None:
    """Print a line for each file."""
    rows = []
    for file in report.files:
        timing = file.timing
        times = ("", "", "")
        if timing:
            times = (
                milliseconds(timing.predicted_ns),
                milliseconds(timing.measured_ns),
                f"{timing.error:+.1%}",
            )
        rows.append(
            (
                file.file,
                f"{file.size_bytes / 1e6:.2f}",
                f"{file.parity.relative:.0e}",
                f"{file.top1_percent:.2f}",
                str(file.details.get("transposes", "")),
                *times,
            )
        )
    echo(report.genome)
    echo(f"{report.macs / 1e6:.1f} M MACs, {report.params / 1e6:.2f} M parameters")
    columns = ("size MB", "vs PyTorch", "test top-1 %", "transposes", "predicted ms", "measured ms")
    print_table("", (text("file"), *columns, "error"), rows)
