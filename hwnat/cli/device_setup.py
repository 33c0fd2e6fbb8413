"""`hwnat device setup`: install programs that time models on a device."""

from pathlib import Path

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, print_json, print_table, text


@click.command("setup")
@click.argument("name")
@click.option(
    "--benchmark-model",
    "benchmark_model",
    type=click.Path(path_type=Path),
    help="Google's benchmark_model, built for the device.",
)
@click.option(
    "--litert",
    type=click.Path(path_type=Path),
    help="libLiteRt.so built for the device, or a wheel, AAR or zip that contains it.",
)
@click.option("--compiler", help="C compiler for the device, with its options. Needs --litert.")
@json_option
def setup(
    name: str,
    benchmark_model: Path | None,
    litert: Path | None,
    compiler: str | None,
    as_json: bool,
) -> None:
    """Install programs on a device, and print which runners work there.

    NAME is the name or the path of a device file. Without options, nothing is installed.
    """
    from contextlib import closing
    from functools import partial

    from hwnat.device.runners.setup import bring_benchmark_model, bring_litert, look, reach
    from hwnat.errors import UsageError
    from hwnat.profile.timer import is_here
    from hwnat.records.device import load_device
    from hwnat.remote.hold import held
    from hwnat.transport.base import connect

    spec = load_device(name)
    if is_here(spec):
        msg = (
            f"Device {spec.name} is this machine, whose runtimes are Python packages. "
            f"See which are installed with: hwnat device doctor {spec.name}"
        )
        raise UsageError(msg)
    if compiler is not None and litert is None:
        msg = "--compiler builds the program for a LiteRT library. Name the library with --litert."
        raise UsageError(msg)
    with closing(connect(spec)) as link:
        place, folder = reach(spec, link), link.probe().workdir
        # No program may be replaced while another command measures with it.
        with held(link, spec, None, folder=folder, tell=partial(echo, err=True)):
            if benchmark_model is not None:
                bring_benchmark_model(place, benchmark_model)
            if litert is not None:
                bring_litert(place, litert, compiler=compiler)
            runners = look(place)
    if as_json:
        print_json(runners)
        return
    rows = [
        (
            *(state.runner, "yes" if state.used else "no"),
            *(state.runtime or "-", state.version or "missing"),
        )
        for state in runners
    ]
    columns = (text("runner"), text("used", rank=1), text("runtime"), text("version"))
    print_table("", columns, rows)
    for state in runners:
        if state.problem is not None:
            echo(f"- {state.problem}", err=True)
