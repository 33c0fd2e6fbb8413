"""`hwnat demo`: the whole chain on this machine, in one folder that can be resumed."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import RUNS, count, milliseconds, print_table, text
from hwnat.cli.progress import Reporter, reporter

if TYPE_CHECKING:
    from hwnat.export.subnet import ExportReport
    from hwnat.search.run import Front
    from hwnat.table.lookup import LatencyTable

SPACE: Final = "mbv3-nano"
DATA: Final = "digits"
RUNTIMES: Final = ("onnx", "tflite", "openvino")
PICKS: Final = ("fastest", "knee", "most-accurate")


@click.command()
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    default=RUNS / "demo",
    show_default=True,
    help="Folder of everything the demo writes.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="PyTorch threads of the search.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
def demo(folder: Path, threads: int, seed: int) -> None:
    """Run the whole chain on this machine.

    Measures three runtimes, searches for networks that classify handwritten digits, exports three
    of them, and compares predicted with measured latencies.

    An interrupted demo resumes: run the same command again.
    """
    import torch

    torch.set_num_threads(threads)
    with reporter() as live:
        tables = {runtime: _table(runtime, folder, live) for runtime in RUNTIMES}
        front = _front(folder, seed, live)
        reports = {pick: _report(pick, folder, front, tables, live) for pick in PICKS}
    _print_summary(folder, tables, front, reports)


def _table(runtime: str, folder: Path, live: Reporter) -> "LatencyTable":
    """Measure this machine with one runtime, or load what was measured before."""
    from hwnat.profile.measure import profile
    from hwnat.profile.plan import make_plan
    from hwnat.records.device import load_device
    from hwnat.records.space import get_space
    from hwnat.table.lookup import load_table

    path = _table_path(folder, runtime)
    if path.exists():
        return load_table(path)
    table = profile(
        load_device(f"host-{runtime}"),
        make_plan(get_space(SPACE)),
        store=folder / "measurements.sqlite",
        cache=folder / "models",
        progress=lambda stage, done, total: live.report(f"{runtime}: {stage}", done, total),
        tell=live.say,
    )
    table.save(path)
    return table


def _front(folder: Path, seed: int, live: Reporter) -> "Front":
    from hwnat.search.run import DEMO_SCALE, SearchConfig
    from hwnat.search.stage import search

    config = SearchConfig(
        space=SPACE,
        data=DATA,
        weights=SPACE,
        objectives=("error", f"latency@{_table_path(folder, RUNTIMES[0])}"),
        seed=seed,
        **DEMO_SCALE,
    )
    return search(config, folder / "search", progress=live.report)


def _report(
    pick: str,
    folder: Path,
    front: "Front",
    tables: "dict[str, LatencyTable]",
    live: Reporter,
) -> "ExportReport":
    from hwnat.cli.export import export_pick
    from hwnat.export.subnet import read_report

    out = folder / "networks" / pick
    if (out / "report.json").exists():
        report = read_report(out / "report.json")
        if report.genome == front.pick(pick)[1].text:
            return report
    live.report("export networks", PICKS.index(pick), len(PICKS))
    return export_pick(
        folder / "search", pick, targets=RUNTIMES, out=out, tables=tables, cache=folder / "models"
    )


def _table_path(folder: Path, runtime: str) -> Path:
    return folder / "tables" / f"host-{runtime}.json"


def _print_summary(
    folder: Path,
    tables: "dict[str, LatencyTable]",
    front: "Front",
    reports: "dict[str, ExportReport]",
) -> None:
    cpu = next(iter(tables.values())).setup.host.cpu or "this machine"
    entries = sum(len(table.entries) for table in tables.values())
    networks = count(len(front.candidates), "network")
    echo(f"Measured {count(entries, 'block')} on {cpu}, one thread, with {', '.join(tables)}.")
    echo(f"Transferred the {SPACE} supernet from Fashion-MNIST to {DATA}:")
    echo(f"{networks} on the front of error and latency.\n")
    rows = []
    for pick, report in reports.items():
        for file in report.files:
            assert file.timing is not None
            rows.append(
                (
                    pick if file is report.files[0] else "",
                    file.file,
                    f"{file.size_bytes / 1e6:.2f}",
                    f"{file.top1_percent:.2f}",
                    f"{file.parity.relative:.0e}",
                    milliseconds(file.timing.predicted_ns),
                    milliseconds(file.timing.measured_ns),
                    f"{file.timing.error:+.1%}",
                )
            )
    columns = ("size MB", "test top-1 %", "vs PyTorch", "predicted ms", "measured ms", "error")
    print_table("", (text("pick"), text("file"), *columns), rows)
    echo(f"\nThe files are in {folder / 'networks'}, the tables in {folder / 'tables'}.")
    echo(
        f"Look closer: hwnat predict --table {_table_path(folder, RUNTIMES[0])} "
        f"--genome {reports['knee'].genome} --explain"
    )
