"""`hwnat profile`: from a device to its latency table."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwnat.cli.output import RUNS, json_option, milliseconds, print_json, progress_bar, say

if TYPE_CHECKING:
    from hwnat.table.entry import Effort
    from hwnat.table.lookup import LatencyTable


@click.command()
@click.option(
    "--device",
    "device_names",
    required=True,
    multiple=True,
    help="Name or path of a device file; repeat to profile several at the same time.",
)
@click.option("--space", "space_name", help="Name of the space; default: that of --from.")
@click.option(
    "--model",
    "model_paths",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Instead of a space: time the operators of this network; repeat.",
)
@click.option("--resolution", "resolutions", type=int, multiple=True, help="Repeat; default all.")
@click.option("--classes", type=click.IntRange(min=1), help="Default: that of --from, or 10.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--op", "extra", multiple=True, help="Key of a further operation; repeat.")
@click.option("--budget", type=click.IntRange(min=1), help="Time so many, predict the rest.")
@click.option("--target-error", type=float, help="Stop sooner, at this held-out error.")
@click.option("--from", "source_paths", help="Tables of other devices to transfer from: A,B.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of networks and choices.")
@click.option("--calibration", type=click.IntRange(min=0), default=10, show_default=True)
@click.option("--validation", type=click.IntRange(min=0), default=10, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), help="Override the device's protocol.")
@click.option("--store", type=click.Path(path_type=Path), default=RUNS / "measurements.sqlite")
@click.option("--cache", type=click.Path(path_type=Path), default=RUNS / "models")
@click.option("--out", type=click.Path(path_type=Path), help="Table file to write.")
@json_option
@click.pass_context
def profile(
    context: click.Context,
    device_names: tuple[str, ...],
    space_name: str | None,
    model_paths: tuple[Path, ...],
    resolutions: tuple[int, ...],
    classes: int | None,
    batch: int,
    extra: tuple[str, ...],
    budget: int | None,
    target_error: float | None,
    source_paths: str | None,
    seed: int,
    calibration: int,
    validation: int,
    rounds: int | None,
    store: Path,
    cache: Path,
    out: Path | None,
    as_json: bool,
) -> None:
    """Time the blocks of a space, or the operators of models, and write a latency table.

    With a --budget only the most telling blocks are timed and the others predicted, from those or
    from other devices' tables (--from). Resumes: what the store holds is not measured again, in
    whichever way the last run ended.
    """
    from dataclasses import replace

    from hwnat.errors import UsageError
    from hwnat.profile.measure import profile as run
    from hwnat.profile.plan import make_plan
    from hwnat.records.device import load_device
    from hwnat.records.space import get_space
    from hwnat.table.lookup import default_path, load_table

    if len(device_names) > 1:
        from hwnat.cli.profile_many import profile_many, words

        argv = words(context, without="device_names")
        profile_many(device_names, argv, as_json=as_json)
        return
    device = load_device(device_names[0])
    if rounds:
        device = replace(device, protocol=replace(device.protocol, rounds=rounds))
    if model_paths:
        from hwnat.cli.profile_models import profile_operators

        taken = {
            "--space": space_name, "--resolution": resolutions, "--classes": classes,
            "--op": extra, "--from": source_paths, "--target-error": target_error,
            "--batch": batch != 1,
        }  # fmt: skip
        if wrong := [option for option, value in taken.items() if value]:
            msg = f"{', '.join(wrong)} and --model do not go together: one is for the blocks of a "
            raise UsageError(msg + "space, the other for the operators of any network.")
        profile_operators(
            device,
            model_paths,
            budget=budget,
            calibration=calibration,
            validation=validation,
            seed=seed,
            places=(store, cache, out),
            as_json=as_json,
        )
        return
    sources = {path: load_table(path) for path in (source_paths or "").split(",") if path}
    if sources:
        name, outputs = next(iter(sources.values())).of_space()
        space_name, classes = space_name or name, classes or outputs
        resolutions = resolutions or next(iter(sources.values())).resolutions
    if space_name is None:
        msg = "Say what to profile with --space, or transfer a device's table with --from."
        raise UsageError(msg)
    plan = make_plan(
        get_space(space_name),
        resolutions,
        classes=classes or 10,
        batch=batch,
        calibration=calibration,
        validation=validation,
        extra=extra,
        budget=budget,
        target_error=target_error,
        sources=sources,
        seed=seed,
    )
    with progress_bar() as progress:
        table = run(device, plan, store=store, cache=cache, progress=progress, tell=say)
    path = out or default_path(table)
    table.save(path)
    _report(table, path, _doubts(table, store), as_json=as_json)


def _report(table: "LatencyTable", path: Path, doubts: tuple[str, ...], *, as_json: bool) -> None:
    """Print where the table is, what it holds and how well it predicts."""
    errors = [abs(each.error) for each in table.validation]
    if as_json:
        print_json(
            {
                "table": path,
                "table_id": table.table_id,
                "entries": len(table.entries),
                "reference_ns": table.reference_ns,
                "calibration": table.calibration.form,
                "effort": table.effort,
                "doubtful_visits": len(doubts),
                "mean_error": sum(errors) / len(errors) if errors else None,
            }
        )
        return
    click.echo(path)
    reference = table.reference_ns
    how = "estimated" if reference is None else f"reference {milliseconds(reference)} ms"
    click.echo(
        f"{len(table.entries)} operations, {how}, "
        f"calibration {table.calibration.form} on {len(table.calibration.networks)} networks.",
        err=True,
    )
    if effort := table.effort:
        click.echo(_effort(effort), err=True)
    if doubts:
        click.echo(f"{len(doubts)} visits are doubtful, such as {doubts[-1]}.", err=True)
    if errors:
        mean, worst = sum(errors) / len(errors), max(errors)
        what = f"{len(errors)} unseen networks: mean error {mean:.1%}, worst {worst:.1%}."
        click.echo(what, err=True)


def _doubts(table: "LatencyTable", store: Path) -> tuple[str, ...]:
    """Return a line for every doubtful visit; what is estimated has none."""
    from hwnat.records.store import Store

    if table.protocol is None:
        return ()
    with Store(store) as db:
        return db.doubts(table.setup.id)


def _effort(effort: "Effort") -> str:
    """Say what few timings gave and what more would."""
    said = f"{effort.timed} operations timed, {effort.filled} predicted"
    if effort.curve:
        said += f", held-out entries to {effort.curve[-1][1]:.1%}"
    if effort.expected_error is not None:
        said += f"; twice as many timings would bring about {effort.expected_error:.1%}"
    return said + "."
