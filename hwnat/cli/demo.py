"""`hwnat demo`: the whole chain on this machine, in one folder, resumed where it was cut off."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hwnat.cli.output import RUNS, milliseconds, print_table, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hwnat.export.subnet import Report
    from hwnat.search.run import Front
    from hwnat.table.lookup import LatencyTable

    Progress = Callable[[str, int, int], None] | None

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
    help="Folder for everything; default: runs/demo.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of torch, while it adapts.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)
def demo(folder: Path, threads: int, seed: int) -> None:
    """Profile this machine, search on handwritten digits, export and check the result."""
    import torch

    torch.set_num_threads(threads)
    with progress_bar() as progress:
        tables = {runtime: _table(runtime, folder, progress) for runtime in RUNTIMES}
        front = _front(folder, seed, progress)
        reports = {pick: _report(pick, folder, front, tables, progress) for pick in PICKS}
    _print_summary(folder, tables, front, reports)


def _table(runtime: str, folder: Path, progress: "Progress") -> "LatencyTable":
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
        progress=_named(runtime, progress),
    )
    table.save(path)
    return table


def _front(folder: Path, seed: int, progress: "Progress") -> "Front":
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
    return search(config, folder / "search", progress=progress)


def _report(
    pick: str,
    folder: Path,
    front: "Front",
    tables: "dict[str, LatencyTable]",
    progress: "Progress",
) -> "Report":
    from hwnat.cli.export import export_pick
    from hwnat.export.subnet import read_report

    out = folder / "networks" / pick
    if (out / "report.json").exists():
        report = read_report(out / "report.json")
        if report.genome == front.pick(pick)[1].text:
            return report
    if progress:
        progress("exporting", PICKS.index(pick), len(PICKS))
    return export_pick(
        folder / "search", pick, targets=RUNTIMES, out=out, tables=tables, cache=folder / "models"
    )


def _table_path(folder: Path, runtime: str) -> Path:
    return folder / "tables" / f"host-{runtime}.json"


def _named(runtime: str, progress: "Progress") -> "Progress":
    """Prefix what a profile reports with the runtime it profiles."""
    if progress is None:
        return None
    return lambda words, done, total: progress(f"{runtime}: {words}", done, total)


def _print_summary(
    folder: Path, tables: "dict[str, LatencyTable]", front: "Front", reports: "dict[str, Report]"
) -> None:
    cpu = next(iter(tables.values())).setup.host.cpu or "this machine"
    entries = sum(len(table.entries) for table in tables.values())
    click.echo(f"Measured {entries} blocks on {cpu}, one thread, with {', '.join(tables)}.")
    click.echo(
        f"Transferred the {SPACE} supernet from Fashion-MNIST to {DATA}: "
        f"{len(front.candidates)} networks on the front of error and latency.\n"
    )
    rows = []
    for pick, report in reports.items():
        for each in report.files:
            assert each.timing is not None
            rows.append(
                (
                    pick if each is report.files[0] else "",
                    each.file,
                    f"{each.size_bytes / 1e6:.2f} MB",
                    f"{each.top1_percent:.2f} %",
                    f"{each.parity.relative:.0e}",
                    milliseconds(each.timing.predicted_ns),
                    milliseconds(each.timing.measured_ns),
                    f"{each.timing.error:+.1%}",
                )
            )
    columns = ("pick", "file", "size", "test top-1", "vs PyTorch", "predicted ms", "measured ms")
    print_table("", (*columns, "error"), rows)
    click.echo(f"\nThe files lie in {folder / 'networks'}, the tables in {folder / 'tables'}.")
    click.echo(
        f"Look closer: hwnat predict --table {_table_path(folder, RUNTIMES[0])} "
        f"--genome {reports['knee'].genome} --explain"
    )
