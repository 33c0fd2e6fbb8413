"""`hwnat export`: chosen networks of a search as files, checked, scored and timed."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.output import RUNS, json_option, milliseconds, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hwnat.export.subnet import Report
    from hwnat.table.lookup import LatencyTable

#: Of the training part, that the scales of INT8 files are fitted to.
_CALIBRATION_IMAGES: Final = 256


@click.command()
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    default=RUNS / "search",
    help="Folder of a finished search; default: runs/search.",
)
@click.option("--pick", default="knee", show_default=True, help="knee, fastest, most-accurate, N.")
@click.option("--to", "targets", default="onnx,tflite,openvino", show_default=True, help="Targets.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: RUN/export/PICK.")
@click.option(
    "--table",
    "tables",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Latency table to time and predict with; default: the search's own. Repeat.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=RUNS / "models",
    help="Folder of exported models, for the tables' references.",
)
@json_option
def export(
    folder: Path,
    pick: str,
    targets: str,
    out: Path | None,
    tables: tuple[str, ...],
    cache: Path,
    as_json: bool,
) -> None:
    """Write a network of a finished search; each file is compared with PyTorch."""
    wanted = tuple(filter(None, (name.strip() for name in targets.split(","))))
    loaded = _load_tables(tables, wanted) if tables else _search_tables(folder, wanted)
    report = export_pick(
        folder,
        pick,
        targets=wanted,
        out=out or folder / "export" / pick,
        tables=loaded,
        cache=cache,
    )
    if as_json:
        print_json(report)
    else:
        print_report(report)
    for each in report.files:
        if each.timing is None:
            note = f"{each.target}: not timed; name a latency table with --table."
            click.echo(note, err=True)


def _load_tables(paths: "Sequence[str]", targets: "Sequence[str]") -> "dict[str, LatencyTable]":
    """Load tables by target; each must belong to a file that is written."""
    from hwnat.errors import UsageError
    from hwnat.table.lookup import load_table

    loaded: dict[str, LatencyTable] = {}
    for path in paths:
        table = load_table(path)
        target = table.setup.target
        if target in loaded or target not in targets:
            known = "two tables of" if target in loaded else "not exporting to"
            msg = f"Table {path} is measured with {target}: {known} it; leave one out."
            raise UsageError(msg)
        loaded[target] = table
    return loaded


def _search_tables(folder: Path, targets: "Sequence[str]") -> "dict[str, LatencyTable]":
    """Load the tables that the search itself used, as far as their targets are written."""
    from hwnat.search.run import read_front
    from hwnat.table.lookup import load_table

    names = (name.partition("@")[2] for name in read_front(folder).objectives)
    tables = [load_table(name) for name in names if name]
    return {each.setup.target: each for each in tables if each.setup.target in targets}


def export_pick(
    folder: Path,
    pick: str,
    *,
    targets: tuple[str, ...],
    out: Path,
    tables: "Mapping[str, LatencyTable]",
    cache: Path,
) -> "Report":
    """Rebuild a network of a finished search from its adapted weights and export it."""
    import numpy as np

    from hwnat.data.readers import load_dataset
    from hwnat.export.subnet import export_subnet
    from hwnat.search.run import read_config, read_front
    from hwnat.supernet.accuracy import Evaluator
    from hwnat.supernet.inputs import network_inputs
    from hwnat.supernet.network import Supernet

    front, config = read_front(folder), read_config(folder)
    _, arch = front.pick(pick)
    data = load_dataset(front.data)
    supernet = Supernet.load(folder / "supernet.safetensors")
    seen = data.train.take(np.arange(min(len(data.train), _CALIBRATION_IMAGES)))
    evaluator = Evaluator(supernet, data, calibration=config.calibration, seed=config.seed)
    return export_subnet(
        evaluator.subnet(arch),
        arch,
        classes=data.classes,
        images=network_inputs(data, data.test, arch.resolution).contiguous().numpy(),
        labels=data.test.labels,
        targets=targets,
        folder=out,
        tables=tables,
        cache=cache,
        calibration=network_inputs(data, seen, arch.resolution).contiguous().numpy(),
    )


def print_report(report: "Report") -> None:
    """Print one line for each file."""
    rows = []
    for each in report.files:
        timing = each.timing
        times = ("", "", "")
        if timing:
            times = (
                milliseconds(timing.predicted_ns),
                milliseconds(timing.measured_ns),
                f"{timing.error:+.1%}",
            )
        rows.append(
            (
                each.file,
                f"{each.size_bytes / 1e6:.2f} MB",
                f"{each.parity.relative:.0e}",
                f"{each.top1_percent:.2f} %",
                str(each.details.get("transposes", "")),
                *times,
            )
        )
    title = f"{report.genome}: {report.macs / 1e6:.1f} M MACs, {report.params / 1e6:.2f} M params"
    columns = ("file", "size", "difference", "test top-1", "transposes", "predicted ms")
    print_table(title, (*columns, "measured ms", "error"), rows)
