from dataclasses import replace
from xml.etree import ElementTree

import pytest

from hwnat.errors import UncoveredOpError
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3_NANO
from hwnat.table.stages import by_stage, svg


def test_a_space_shows_three_networks_by_stage(a_table):
    table = a_table()
    small, middle, large = by_stage(table)
    assert small.name == "smallest, 24 pixels"
    assert middle.name.startswith("median, ")
    assert large.name == "largest, 32 pixels"
    assert list(large.parts) == [
        "stem",
        *(f"stage {number}" for number in range(1, 6)),
        "head",
        "starting a run",
    ]
    assert small.total_ns < middle.total_ns < large.total_ns


def test_parts_add_up_to_the_network(a_table):
    table = a_table()
    arch = Arch(space=MBV3_NANO, genome=MBV3_NANO.largest())
    keys = [op.key for op in arch.ops(classes=10)]
    total = table.overhead_ns + sum(table.entries[key].p50_ns for key in keys)
    large = by_stage(table)[2]
    assert large.total_ns == total
    assert large.latency_ns == pytest.approx(0.9 * total)
    assert large.parts["stage 1"] == sum(table.entries[key].p50_ns for key in keys[2:6])
    assert large.parts["head"] == sum(table.entries[key].p50_ns for key in keys[-3:])


def test_a_published_table_may_cover_other_resolutions(a_table):
    space = replace(MBV3_NANO, resolutions=(20,))
    assert by_stage(a_table(space, (20,)))[0].name == "smallest, 20 pixels"


def test_a_table_with_holes_is_an_error_that_names_one(a_table):
    table = a_table()
    rest = {key: entry for key, entry in table.entries.items() if "|k=3|" not in key}
    with pytest.raises(UncoveredOpError):
        by_stage(replace(table, entries=rest))


def test_operators_are_shown_by_kind_largest_first(a_table, an_entry):
    entries = {
        "linear|in=1x1x1x64|out=10|float32": an_entry(5_000),
        "linear|in=1x1x1x64|out=20|float32": an_entry(6_000),
        "add|in=1x4x4x64|act=none|n=2|float32": an_entry(20_000),
    }
    operators = replace(a_table(), entries=entries, space=None, classes=None, resolutions=())
    (found,) = by_stage(operators)
    assert list(found.parts.items()) == [("add", 20_000), ("linear", 11_000)]
    assert found.name == "all 3 entries"
    assert found.latency_ns is None


def test_the_drawing_is_svg_with_bars_to_scale(a_table):
    found = by_stage(a_table())
    root = ElementTree.fromstring(svg("a <table> & more", found))
    bars = [each for each in root.iter() if each.find("{*}title") is not None]
    assert len(bars) == 24
    widths = [float(each.get("width")) for each in bars]
    assert sum(widths[16:]) == pytest.approx(680, abs=1)
    assert sum(widths[:8]) == pytest.approx(680 * found[0].total_ns / found[2].total_ns, abs=1)
    assert root.find("{*}text").text == "a <table> & more"
