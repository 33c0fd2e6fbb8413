"""The documented error tree is the real one."""

import inspect
import re
from pathlib import Path

import pytest

from hwnat import errors
from hwnat.errors import HwnatError, UncoveredOpError

CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, HwnatError)
}
ROW = re.compile(r"^ {4}((?:[│ ] {3})*)(?:[├└]── )?(\w+Error) *(\d)?", re.MULTILINE)


def drawn_tree():
    """Name -> (parent, exit code) as the module's docstring draws them."""
    tree, above = {}, []
    for indent, name, code in ROW.findall(errors.__doc__):
        depth = len(indent) // 4 + (name != "HwnatError")
        above[depth:] = [name]
        tree[name] = (above[depth - 1] if depth else "Exception", int(code or 1))
    return tree


def test_the_docstring_draws_every_class_with_its_parent_and_exit_code():
    real = {name: (cls.__base__.__name__, cls.exit_code) for name, cls in CLASSES.items()}
    assert drawn_tree() == real


def test_the_documentation_lists_every_class_with_its_exit_code():
    page = Path(__file__).parents[1].joinpath("docs", "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d) \|", page, re.MULTILINE))
    assert rows == {name: str(cls.exit_code) for name, cls in CLASSES.items()}


def test_those_who_must_act_have_exit_codes_of_their_own():
    direct = [cls for cls in CLASSES.values() if cls.__base__ is HwnatError]
    codes = [cls.exit_code for cls in direct]
    assert sorted(codes) == [1, 2, 3, 4, 5]


def test_an_uncovered_operation_names_key_table_neighbour_and_command():
    error = UncoveredOpError("a|b", table="t", nearest=["a|c", "a|d"], remedy="hwnat profile")
    assert str(error) == (
        "No latency for a|b in table t. Nearest measured: a|c. Measure it with: hwnat profile"
    )
    assert (error.key, error.nearest) == ("a|b", ("a|c", "a|d"))


def test_an_empty_table_has_no_neighbour_to_name():
    error = UncoveredOpError("a|b", table="t", nearest=[], remedy="hwnat profile")
    assert "Nearest" not in str(error)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_says_what_it_means(name):
    assert CLASSES[name].__doc__
