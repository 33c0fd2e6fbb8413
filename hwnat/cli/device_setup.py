"""`hwnat device setup`: bring what a device lacks, or say what it lacks."""

from pathlib import Path

import click

from hwnat.cli.output import json_option, print_json, print_table


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
    help="libLiteRt.so for the device, or the wheel, AAR or zip that holds one.",
)
@click.option("--compiler", help="C compiler for the device, with its options if need be.")
@json_option
def setup(
    name: str,
    benchmark_model: Path | None,
    litert: Path | None,
    compiler: str | None,
    as_json: bool,
) -> None:
    """Bring programs to a device and say what it has and what it lacks."""
    from contextlib import closing
    from functools import partial

    from hwnat.device.runners.setup import bring_benchmark_model, bring_litert, look, reach
    from hwnat.errors import UsageError
    from hwnat.profile.timer import is_here
    from hwnat.records.device import load_device
    from hwnat.remote.lease import held
    from hwnat.transport.base import connect

    spec = load_device(name)
    if is_here(spec):
        msg = f"Device {spec.name} is this machine; its runtimes are Python packages. See what is "
        raise UsageError(msg + f"there with: hwnat device doctor {spec.name}")
    if compiler is not None and litert is None:
        msg = "--compiler is for the program that goes with a library; name that too: --litert PATH"
        raise UsageError(msg)
    with closing(connect(spec)) as link:
        place, folder = reach(spec, link), link.probe().workdir
        # Nobody's program is exchanged while it measures.
        with held(link, spec, None, folder=folder, tell=partial(click.echo, err=True)):
            if benchmark_model is not None:
                bring_benchmark_model(place, benchmark_model)
            if litert is not None:
                bring_litert(place, litert, compiler=compiler)
            found = look(place)
    if as_json:
        print_json(found)
        return
    rows = [
        (each.runner, "yes" if each.used else "no", each.runtime or "-", each.version or "missing")
        for each in found
    ]
    print_table("", ("runner", "used", "runtime", "version"), rows)
    for each in found:
        if each.problem is not None:
            click.echo(f"- {each.problem}", err=True)
