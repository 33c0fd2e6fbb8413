"""`hwnat arch`: what a network costs before anything is built."""

import click

from hwnat.cli.echo import echo
from hwnat.cli.output import json_option, key, print_json, print_table


@click.group()
def arch() -> None:
    """Print the parameters, MACs and operations of a network."""


@arch.command()
@click.option("--space", required=True, help="Search space, such as mbv3-nano.")
@click.option("--genome", required=True, help="Digits of the network's genome.")
@click.option(
    "--classes", type=click.IntRange(min=1), required=True, help="Outputs of the classifier."
)
@json_option
def show(space: str, genome: str, classes: int, as_json: bool) -> None:
    """Print exact costs and every operation of one network."""
    from hwnat.records.arch import Arch
    from hwnat.records.cost import op_cost
    from hwnat.records.space import get_space

    network = Arch.from_text(get_space(space), genome)
    cost = network.cost(classes=classes)
    ops = [(op.key, op_cost(op)) for op in network.ops(classes=classes)]
    if as_json:
        print_json(
            {
                "space": space,
                "genome": network.text,
                "id": network.id,
                "resolution": network.resolution,
                "classes": classes,
                "subnet": network.subnet,
                "params": cost.params,
                "folded_params": cost.folded_params,
                "macs": cost.macs,
                "macs_torchprofile": cost.macs_torchprofile,
                "ops": [{"key": op, "params": c.params, "macs": c.macs} for op, c in ops],
            }
        )
        return
    echo(f"{space} {network.text} ({network.id})")
    echo(
        f"{cost.params:,} parameters, {cost.macs:,} MACs at "
        f"{network.resolution}x{network.resolution}"
    )
    rows = [(op, f"{c.params:,}", f"{c.macs:,}") for op, c in ops]
    print_table("", (key("operation"), "parameters", "MACs"), rows)
