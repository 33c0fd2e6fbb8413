"""Every command explains itself, and costs are those of the publications."""

import json

import click
import pytest

from hwnat.cli.main import app


def commands(group=app, names=()):
    """Walk the tree of commands: names and command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*names, name))


TREE = dict(commands())
LEAVES = {names: command for names, command in TREE.items() if not isinstance(command, click.Group)}


@pytest.mark.parametrize("names", sorted(TREE), ids=" ".join)
def test_every_command_explains_itself_on_stdout(hwnat, names):
    code, out, err = hwnat(*names, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: hwnat {' '.join(names)} ")
    assert TREE[names].help.splitlines()[0] in " ".join(out.split())


@pytest.mark.parametrize("names", sorted(LEAVES), ids=" ".join)
def test_data_is_there_as_json_but_for_what_names_its_files_only(names):
    options = {word for option in LEAVES[names].params for word in option.opts}
    assert ("--json" in options) == (names not in {("demo",), ("supernet", "train")})


def test_without_arguments_the_help_is_printed(hwnat):
    code, out, err = hwnat()
    assert (code, out) == (2, "")
    assert "Commands:" in err


@pytest.mark.parametrize(
    ("space", "genome", "classes", "params", "macs"),
    [
        ("mbv3-w1.0", "08011001440551052208877", 1000, 6_067_408, 222_557_600),
        ("mbv3-w1.0", "16012006400351023002400", 196, 2_628_948, 196_999_680),
    ],
)
def test_published_networks_cost_what_is_published(hwnat, space, genome, classes, params, macs):
    args = ("arch", "show", "--space", space, "--genome", genome, "--classes", classes)
    code, out, err = hwnat(*args, "--json")
    assert (code, err) == (0, "")
    assert f'"params": {params}' in out
    assert f'"macs": {macs}' in out
    printed = json.loads(out)
    assert sum(op["macs"] for op in printed["ops"]) == macs
    assert f"{params:,} parameters, {macs:,} MACs" in hwnat(*args)[1]
