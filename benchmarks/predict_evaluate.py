"""Score the predictors on measurements that others published.

python benchmarks/predict_evaluate.py --format FORMAT … [--json]

docs/latency.md lists the commands that produce its figures.
"""

import sys
from pathlib import Path
from typing import Final

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, print_evaluation, print_json
from hwnat.errors import HwnatError

FORMATS: Final = ("mobile-ml-benchmark", "nn-meter-blocks", "ofa-yaml", "nsganet-yaml")


@click.command()
@click.option("--format", "file_format", type=click.Choice(FORMATS), required=True)
@click.option("--ops", type=click.Path(path_type=Path), help="Operators (mobile-ml-benchmark).")
@click.option("--nets", type=click.Path(path_type=Path), help="Networks (mobile-ml-benchmark).")
@click.option("--device", help="Columns to read, such as pixel4 (mobile-ml-benchmark).")
@click.option("--calibrate", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--measured", is_flag=True, help="Sum measured operators, not predicted ones.")
@click.option("--sources", help="Files of other devices, A,B (nn-meter-blocks).")
@click.option("--target", help="File of the new device (nn-meter-blocks).")
@click.option("--budget", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--tables", help="Files of measured resolutions, A,B (ofa-yaml, nsganet-yaml).")
@click.option("--test", help="Files of hidden resolutions, C,D (ofa-yaml, nsganet-yaml).")
@click.option("--networks", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
def evaluate(
    file_format: str,
    ops: Path | None,
    nets: Path | None,
    device: str | None,
    calibrate: int,
    measured: bool,
    sources: str | None,
    target: str | None,
    budget: int,
    tables: str | None,
    test: str | None,
    networks: int,
    seed: int,
    as_json: bool,
) -> None:
    """Predict published measurements from a part of them, and score on the rest.

    mobile-ml-benchmark: operators of unseen networks, whole networks calibrated on a few.
    nn-meter-blocks: blocks of a new device, from other devices and a few timings.
    ofa-yaml, nsganet-yaml: networks at resolutions between those of the tables.
    """
    if file_format == "mobile-ml-benchmark":
        from evaluate.operators import evaluate_operators

        found = evaluate_operators(
            _path("--ops", ops),
            _path("--nets", nets),
            _text("--device", device),
            calibrate=calibrate,
            seed=seed,
            measured=measured,
        )
    elif file_format == "nn-meter-blocks":
        from evaluate.transfer import evaluate_transfer

        others = _paths("--sources", sources)
        new = Path(_text("--target", target))
        found = evaluate_transfer(others, new, budget=budget, seed=seed)
    else:
        from evaluate.offgrid import evaluate_offgrid

        seen, hidden = _paths("--tables", tables), _paths("--test", test)
        found = evaluate_offgrid(seen, hidden, networks, seed=seed, file_format=file_format)
    if as_json:
        print_json(found)
    else:
        print_evaluation(found)


def _text(option: str, value: str | None) -> str:
    if not value:
        msg = f"This format needs {option}."
        raise click.UsageError(msg)
    return value


def _path(option: str, value: Path | None) -> Path:
    return Path(_text(option, str(value) if value else None))


def _paths(option: str, value: str | None) -> list[Path]:
    return [Path(each) for each in _text(option, value).split(",") if each]


def main() -> None:
    """Run the command; a refused file or option ends with one line and its exit code."""
    try:
        evaluate()
    except HwnatError as error:
        echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
