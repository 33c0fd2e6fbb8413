"""`hwnat profile`: from a device to its latency table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import RUNS, count, json_option, milliseconds, print_json, shape_option
from hwnat.cli.progress import reporter

if TYPE_CHECKING:
    from hwnat.records.device import DeviceSpec
    from hwnat.table.entry import Effort
    from hwnat.table.lookup import LatencyTable

#: Operators that are timed unless --budget says otherwise.
_OPERATORS: Final = 200
#: Classes unless --classes or --from says otherwise.
_CLASSES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRequest:
    """What `hwnat profile` was asked for."""

    devices: tuple[str, ...]
    space: str | None
    models: tuple[Path, ...]
    shapes: tuple[str, ...]
    resolutions: tuple[int, ...]
    classes: int | None
    batch: int
    extra: tuple[str, ...]
    budget: int | None
    target_error: float | None
    sources: str | None
    seed: int
    calibration: int
    validation: int
    rounds: int | None
    store: Path
    cache: Path
    out: Path | None
    force: bool
    as_json: bool

    def check_models(self) -> None:
        """Refuse options of a space beside --model.

        Raises:
            UsageError: there are such options.
        """
        from hwnat.errors import UsageError

        of_a_space = {
            "--space": self.space, "--resolution": self.resolutions, "--classes": self.classes,
            "--op": self.extra, "--from": self.sources, "--target-error": self.target_error,
            "--batch": self.batch != 1,
        }  # fmt: skip
        if given := [option for option, value in of_a_space.items() if value]:
            msg = (
                f"{', '.join(given)} cannot be combined with --model: --model times the operators "
                "of any network, the others describe a space. Leave out one side."
            )
            raise UsageError(msg)


@click.command()
@click.option(
    "--device",
    "devices",
    required=True,
    multiple=True,
    help="Name or path of a device file. Repeat it to profile several devices in parallel.",
)
@click.option("--space", help="Search space to profile. Default: the space of --from.")
@click.option(
    "--model",
    "models",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Time this model file and its operators instead of a space. Repeatable.",
)
@shape_option
@click.option(
    "--resolution",
    "resolutions",
    type=int,
    multiple=True,
    help="Input resolution to cover. Repeatable. Default: all of the space.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help="Outputs of the classifier. Default: those of --from, or 10.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images per run."
)
@click.option("--op", "extra", multiple=True, help="Key of another operation to time. Repeatable.")
@click.option(
    "--budget",
    type=click.IntRange(min=1),
    help="Time at most this many operations and predict the others. Default: time all of a "
    "space, or 200 operators of --model.",
)
@click.option(
    "--target-error",
    type=float,
    help="Stop before the budget is spent once held-out entries are predicted this well, such as "
    "0.03.",
)
@click.option(
    "--from", "sources", help="Tables of other devices to transfer from, separated by commas."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option(
    "--calibration",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Whole networks to calibrate the table on.",
)
@click.option(
    "--validation",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Whole networks to validate the table on.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    help="Visits to each model. Default: the device file's protocol.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=RUNS / "measurements.sqlite",
    show_default=True,
    help="Database of raw measurements.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=RUNS / "models",
    show_default=True,
    help="Folder of exported models.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Table file to write. Default: latency_tables/DEVICE/NAME.json.",
)
@click.option("--force", is_flag=True, help="Replace a table of another kind. Default: refuse.")
@json_option
@click.pass_context
def profile(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - a record's fields
    """Measure a device and write its latency table.

    Times the blocks of a search space, or the operators of models. With --budget, only the most
    informative ones are timed and the others are predicted, from those or from the tables of
    other devices (--from).

    An interrupted profile resumes: run the same command again.
    """
    request = ProfileRequest(**options)
    if len(request.devices) > 1:
        from hwnat.cli.profile_many import profile_many, words

        profile_many(request.devices, words(context, without="devices"), as_json=request.as_json)
        return
    device = _device(request)
    if request.models:
        request.check_models()
        _profile_models(device, request)
    elif request.shapes:
        from hwnat.errors import UsageError

        msg = "--shape fixes the inputs of a --model; name one, or leave it out."
        raise UsageError(msg)
    else:
        _profile_space(device, request)


def _device(request: ProfileRequest) -> "DeviceSpec":
    from dataclasses import replace

    from hwnat.records.device import load_device

    device = load_device(request.devices[0])
    if request.rounds is None:
        return device
    return replace(device, protocol=replace(device.protocol, rounds=request.rounds))


def _profile_space(device: "DeviceSpec", request: ProfileRequest) -> None:
    """Profile the blocks of a space and print the table's path."""
    from hwnat.errors import UsageError
    from hwnat.profile.measure import profile as run
    from hwnat.profile.plan import make_plan
    from hwnat.records.space import get_space
    from hwnat.table.lookup import load_table
    from hwnat.table.place import check_place, planned_path

    sources = {path: load_table(path) for path in (request.sources or "").split(",") if path}
    space, classes, resolutions = request.space, request.classes, request.resolutions
    if sources:
        first = next(iter(sources.values()))
        name, outputs = first.of_space()
        space, classes = space or name, classes or outputs
        resolutions = resolutions or first.resolutions
    if space is None:
        msg = (
            "Name a search space to profile with --space, model files with --model, or tables of "
            "other devices with --from."
        )
        raise UsageError(msg)
    plan = make_plan(
        get_space(space),
        resolutions,
        classes=classes or _CLASSES,
        batch=request.batch,
        calibration=request.calibration,
        validation=request.validation,
        extra=request.extra,
        budget=request.budget,
        target_error=request.target_error,
        sources=sources,
        seed=request.seed,
    )
    path = request.out or planned_path(device, plan.space.name)
    kind = {"space": plan.space.name, "class count": plan.classes, "batch": plan.batch}
    # Known before anything is measured. The machine is compared when the table is written.
    check_place(path, kind, resolutions=plan.resolutions, force=request.force)
    with reporter() as live:
        table = run(
            device,
            plan,
            store=request.store,
            cache=request.cache,
            progress=live.report,
            tell=live.say,
        )
    path = _save(table, request)
    doubts = _doubts(table, request.store)
    if request.as_json:
        print_json(
            {**_summary(table, path), "effort": table.effort, "doubtful_visits": len(doubts)}
        )
        return
    reference = table.reference_ns
    how = "estimated" if reference is None else f"reference {milliseconds(reference)} ms"
    _print(table, path, f"{count(len(table.entries), 'operation')}, {how}")
    if effort := table.effort:
        echo(_effort(effort), err=True)
    _print_doubts(doubts)


def _print_doubts(doubts: Sequence[str]) -> None:
    if doubts:
        echo(
            f"{count(len(doubts), 'visit')} may be unreliable. The latest: {doubts[-1]}.", err=True
        )


def _profile_models(device: "DeviceSpec", request: ProfileRequest) -> None:
    """Profile the operators of models and print the table's path."""
    from hwnat.profile.operators import profile_models
    from hwnat.profile.timer import target_of
    from hwnat.targets.fixed import fixed_copies
    from hwnat.targets.inputs import parse_shapes

    models = fixed_copies(
        target_of(device), request.models, parse_shapes(request.shapes), request.cache / "fixed"
    )
    with reporter() as live:
        result = profile_models(
            device,
            models,
            store=request.store,
            cache=request.cache,
            budget=request.budget or _OPERATORS,
            networks=request.calibration,
            validation=request.validation,
            seed=request.seed,
            progress=live.report,
            tell=live.say,
        )
    table = result.table
    path = _save(table, request)
    doubts = _doubts(table, request.store)
    if request.as_json:
        facts = {"left_out": result.left_out, "doubts": table.doubts}
        print_json({**_summary(table, path), **facts, "doubtful_visits": len(doubts)})
        return
    reference = milliseconds(table.timed_as()[1])
    _print(table, path, f"{count(len(table.entries), 'operator')}, reference {reference} ms")
    if result.left_out:
        echo(
            f"{count(len(result.left_out), 'operator')} could not be timed alone; their latency "
            "is a share of the rest, in proportion to their work. `hwnat table show` lists them "
            "as estimated.",
            err=True,
        )
    for doubt in table.doubts:
        echo(f"Doubt: {doubt}.", err=True)
    _print_doubts(doubts)


def _save(table: "LatencyTable", request: ProfileRequest) -> Path:
    from hwnat.table.lookup import default_path
    from hwnat.table.place import save_table

    path = request.out or default_path(table)
    save_table(table, path, force=request.force)
    return path


def _errors(table: "LatencyTable") -> Sequence[float]:
    return [abs(check.error) for check in table.validation]


def _summary(table: "LatencyTable", path: Path) -> dict[str, object]:
    """Return what --json prints of any profile."""
    errors = _errors(table)
    return {
        "table": path,
        "table_id": table.table_id,
        "entries": len(table.entries),
        "reference_ns": table.reference_ns,
        "calibration": table.calibration.form,
        "mean_error": sum(errors) / len(errors) if errors else None,
    }


def _print(table: "LatencyTable", path: Path, contents: str) -> None:
    """Print the table's path, and on stderr what it holds and how well it predicts."""
    echo(path)
    fit = table.calibration
    networks = count(len(fit.networks), "network")
    echo(f"{contents}, calibration {fit.form} on {networks}.", err=True)
    if errors := _errors(table):
        mean, worst = sum(errors) / len(errors), max(errors)
        unseen = count(len(errors), "unseen network")
        echo(f"{unseen}: mean error {mean:.1%}, worst {worst:.1%}.", err=True)


def _doubts(table: "LatencyTable", store: Path) -> tuple[str, ...]:
    """Return a line for every doubtful visit; estimated tables have none."""
    from hwnat.records.store import Store

    if table.protocol is None:
        return ()
    with Store(store) as db:
        return db.doubts(table.setup.id)


def _effort(effort: "Effort") -> str:
    """Describe what a budget bought, and what twice as much would."""
    line = f"{count(effort.timed, 'operation')} timed, {effort.filled:,} predicted"
    if effort.curve:
        line += f", held-out error {effort.curve[-1][1]:.1%}"
    if effort.expected_error is not None:
        line += f"; twice as many timings would reach about {effort.expected_error:.1%}"
    return line + "."
