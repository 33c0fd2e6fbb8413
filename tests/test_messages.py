"""What a message tells you to type can be typed, and each message can be found by searching."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from hwnat.cli.main import COMMANDS, app

HWNAT = Path(__file__).parents[1] / "hwnat"
SOURCES = sorted(HWNAT.rglob("*.py"))
#: Stands in a command for a value that the message fills in.
FILLED = "1"
#: A command, in backticks or after the words that introduce it.
QUOTED = re.compile(r"`(hwnat [^`]+)`")
INTRODUCED = re.compile(r"(?:^|[:;] |with: |run )(hwnat [a-z].*?)(?=[.;,:)](?:\s|$)|\n|$)")


def texts(tree):
    """Yield (line, text) of each string literal, with placeholders filled in."""
    pieces = {
        id(piece)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for piece in ast.walk(node)
        if piece is not node
    }
    for node in ast.walk(tree):
        if id(node) in pieces:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (
                part.value if isinstance(part, ast.Constant) else FILLED for part in node.values
            )
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def commands(text):
    """List the command lines in a text; prose that begins with the program's name is none."""
    lines = [*QUOTED.findall(text), *INTRODUCED.findall(QUOTED.sub("", text))]
    return [line for line in lines if line.split()[1] in COMMANDS]


def problem(line):
    """Return why the command line cannot be typed; None if it can."""
    words = shlex.split(line.replace("[", "").replace("]", ""))[1:]
    command, context = app, click.Context(app, info_name="hwnat")
    try:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            _, command, words = command.resolve_command(context, words)
            context = click.Context(command, info_name=command.name, parent=context)
        # Without an option, the text only names the command.
        if any(word.startswith("-") for word in words) and not {"…", "--help"} & set(words):
            command.make_context(command.name, words)
    except click.UsageError as refused:
        return refused.format_message()
    return None


LINES = sorted(
    {
        (path.relative_to(HWNAT).as_posix(), line)
        for path in SOURCES
        for _, text in texts(ast.parse(path.read_text(encoding="utf-8")))
        for line in commands(text)
    }
)


def test_commands_are_found_in_literals():
    assert commands("No such file; run: hwnat search --run 1 …. Then go on.") == [
        "hwnat search --run 1 …"
    ]
    assert commands("Try `hwnat device list`, or: hwnat device doctor NAME; it helps.") == [
        "hwnat device list",
        "hwnat device doctor NAME",
    ]
    assert commands("hwnat reads this: no command") == []
    assert len({line.split()[1] for _, line in LINES}) > 4


def test_a_command_that_cannot_be_typed_is_reported():
    assert "No such command" in problem("hwnat serch --run X")
    assert "No such option" in problem("hwnat device doctor NAME --harder")
    assert problem("hwnat device doctor NAME") is None


def is_text(node):
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def is_sum(node):
    """Tell whether an expression puts a text together with `+`."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and any(is_text(side) or is_sum(side) for side in (node.left, node.right))
    )


def pieced_messages(tree):
    """Yield the line of each message of an error that is put together from pieces."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            if any(is_sum(argument) for argument in node.exc.args):
                yield node.lineno
        elif isinstance(node, ast.AugAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = any(isinstance(name, ast.Name) and name.id == "msg" for name in targets)
            if named and (isinstance(node, ast.AugAssign) or is_sum(node.value)):
                yield node.lineno


def test_a_message_in_pieces_is_seen():
    pieces = 'msg = "a"\nmsg += "b"\nmsg = "a" + b\nraise X(msg + "c")\n'
    assert list(pieced_messages(ast.parse(pieces))) == [2, 3, 4]
    whole = 'msg = (\n    f"a {b}"\n    "c"\n)\nraise X(msg)\nnumber += 1\n'
    assert list(pieced_messages(ast.parse(whole))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(HWNAT).as_posix())
def test_each_message_is_one_literal(path):
    assert list(pieced_messages(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(("path", "line"), LINES, ids=lambda value: value[:70])
def test_every_command_in_a_message_can_be_typed(path, line):
    assert problem(line) is None, path
