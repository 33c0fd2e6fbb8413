from dataclasses import replace

import pytest

from hwnat.errors import TableMismatchError
from hwnat.records.measurement import Conditions
from hwnat.records.space import MBV3_NANO, MBV3_W10
from hwnat.table.calibrate import Calibration
from hwnat.table.diff import diff


@pytest.fixture
def before(a_table):
    return a_table(resolutions=(24, 28))


def with_entries(table, **entries):
    return replace(table, entries={**table.entries, **entries})


def scaled(table, an_entry, factor):
    return replace(
        table, entries={k: an_entry(round(e.p50_ns * factor)) for k, e in table.entries.items()}
    )


def test_equal_tables_do_not_differ(before):
    found = diff(before, before)
    assert found.moved == found.new == found.gone == found.setup == ()
    assert found.steady == len(before.entries)
    assert found.median_ratio == 1.0
    assert (found.median_change, found.p95_change) == (0.0, 0.0)
    assert (found.networks.lowest, found.networks.highest) == (1.0, 1.0)


def test_only_what_left_both_intervals_has_moved_largest_first(before, an_entry):
    first, second, third = sorted(before.entries)[:3]
    ns = before.entries[first].p50_ns, before.entries[second].p50_ns, before.entries[third].p50_ns
    after = with_entries(
        before,
        **{
            first: an_entry(round(ns[0] * 1.5)),
            second: an_entry(round(ns[1] / 2)),
            # The intervals are 1 % to each side: these still meet.
            third: an_entry(round(ns[2] * 1.015)),
        },
    )
    found = diff(before, after)
    assert [each.key for each in found.moved] == [second, first]
    assert found.moved[0].ratio == pytest.approx(0.5, rel=1e-3)
    assert found.moved[1].before_ns == ns[0]
    assert found.steady == len(before.entries) - 2


def test_new_and_gone_entries_are_named(before, a_table):
    found = diff(before, a_table(resolutions=(28, 32)))
    assert found.new
    assert all(key not in before.entries for key in found.new)
    assert all(key in before.entries for key in found.gone)
    assert any("in=1x32x32x3" in key for key in found.new)
    assert any("in=1x24x24x3" in key for key in found.gone)
    assert ("resolutions", "(24, 28)", "(28, 32)") in found.setup


def test_what_differs_in_the_setup_is_listed(before, a_setup):
    hot = (Conditions(at="t", governor="powersave", clocks_hz=(9,), load_1m=3.0), None)
    after = replace(before, setup=a_setup(runtime_version="2.0", threads=4), conditions=hot)
    changes = {what: (one, other) for what, one, other in diff(before, after).setup}
    assert changes["runtime_version"] == ("1.0", "2.0")
    assert changes["threads"] == ("1", "4")
    assert changes["governor"] == ("[]", "['powersave']")
    assert changes["clocks_hz"] == ("[]", "[(9,)]")
    assert not any("load" in what for what in changes)


def test_networks_show_the_calibrated_effect(before, an_entry):
    after = replace(scaled(before, an_entry, 2), overhead_ns=2 * before.overhead_ns)
    assert diff(before, after).networks.median == pytest.approx(2, rel=1e-3)
    halved = replace(after, calibration=Calibration(form="scale", scale=0.45))
    assert diff(before, halved).networks.median == pytest.approx(1, rel=1e-3)


def test_networks_that_one_table_does_not_cover_are_counted(before):
    rare = next(key for key in before.entries if "|k=7|" in key and "in=1x3x3" in key)
    after = replace(before, entries={k: e for k, e in before.entries.items() if k != rare})
    found = diff(before, after).networks
    assert found.uncovered > 0
    assert found.compared + found.uncovered == 202


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("precision", {"setup": {"precision": "int8"}}),
        ("batch", {"setup": {"batch": 8}}),
        ("space", {"space": MBV3_W10.name}),
        ("classes", {"classes": 11}),
        ("granularity", {"granularity": "operator"}),
    ],
)
def test_tables_whose_numbers_mean_different_things_are_refused(before, a_setup, what, change):
    change = {k: a_setup(**v) if k == "setup" else v for k, v in change.items()}
    other = replace(before, **change)
    with pytest.raises(TableMismatchError, match=f"differ in {what}: .*--force"):
        diff(before, other)
    forced = diff(before, other, force=True)
    assert what in {name for name, _, _ in forced.setup}


def test_no_network_is_compared_without_a_common_space(before, a_table):
    operators = replace(before, space=None, classes=None, resolutions=())
    assert diff(operators, operators).networks is None
    assert diff(before, a_table(resolutions=(32,))).networks is None


def test_tables_without_a_common_entry(before, an_entry):
    other = replace(before, entries={"linear|in=1x1x1x9|out=9|float32": an_entry(9)})
    found = diff(before, other)
    assert (found.steady, found.median_ratio, found.moved) == (0, None, ())


def test_slower_names_entries_and_the_median_network(before, an_entry):
    found = diff(before, scaled(before, an_entry, 1.2))
    assert found.slower_than(50) == ()
    assert found.slower_than(10)[0] == "the median network"
    assert len(found.slower_than(10)) == 1 + len(found.moved)
    assert diff(before, scaled(before, an_entry, 0.5)).slower_than(10) == ()


def test_the_largest_network_is_among_those_compared(before, an_entry):
    largest = MBV3_NANO.largest()
    assert largest[0] == 2
    key = max(before.entries, key=lambda each: before.entries[each].p50_ns)
    slow = an_entry(before.entries[key].p50_ns * 50)
    assert diff(before, with_entries(before, **{key: slow})).networks.highest > 1.05
