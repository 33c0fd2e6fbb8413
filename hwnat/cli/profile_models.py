"""`hwnat profile --model`: from a device and some models to a table of their operators."""

from collections.abc import Sequence
from pathlib import Path

import click

from hwnat.cli.output import milliseconds, print_json, progress_bar, say
from hwnat.records.device import DeviceSpec

#: Operators that are timed unless --budget says otherwise.
_BUDGET = 200


def profile_operators(
    device: DeviceSpec,
    models: Sequence[Path],
    *,
    budget: int | None,
    calibration: int,
    validation: int,
    seed: int,
    places: tuple[Path, Path, Path | None],
    as_json: bool,
) -> None:
    """Profile and print; `places` are the store, the cache and the table's path, if given."""
    from hwnat.profile.operators import profile_models
    from hwnat.table.lookup import default_path

    store, cache, out = places
    with progress_bar() as progress:
        found = profile_models(
            device,
            models,
            store=store,
            cache=cache,
            budget=budget or _BUDGET,
            networks=calibration,
            validation=validation,
            seed=seed,
            progress=progress,
            tell=say,
        )
    table = found.table
    path = out or default_path(table)
    table.save(path)
    errors = [abs(each.error) for each in table.validation]
    if as_json:
        print_json(
            {
                "table": path,
                "table_id": table.table_id,
                "entries": len(table.entries),
                "left_out": found.left_out,
                "reference_ns": table.reference_ns,
                "calibration": table.calibration.form,
                "mean_error": sum(errors) / len(errors) if errors else None,
            }
        )
        return
    click.echo(path)
    fitted = table.calibration
    click.echo(
        f"{len(table.entries)} operators, reference {milliseconds(table.timed_as()[1])} ms, "
        f"calibration {fitted.form} on {len(fitted.networks)} networks.",
        err=True,
    )
    for key, reason in found.left_out.items():
        click.echo(f"Left out: {key}: {reason}.", err=True)
    if errors:
        mean, worst = sum(errors) / len(errors), max(errors)
        what = f"{len(errors)} unseen networks: mean error {mean:.1%}, worst {worst:.1%}."
        click.echo(what, err=True)
