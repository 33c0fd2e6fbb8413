"""How the time of a whole network is split among its operators."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.table.in_place import Shares, in_place_entries, profiled


@given(
    st.lists(st.floats(0, 1e9), min_size=1, max_size=50),
    st.floats(1, 1e10),
)
def test_a_split_profile_adds_up_to_the_whole_and_nothing_is_negative(times, total):
    ns = profiled(times, total)
    assert ns.min() > 0
    assert ns.sum() == pytest.approx(total)


def test_the_constant_of_a_profiler_is_removed_from_every_operator():
    truth = np.array([1000.0, 20_000.0, 50_000.0])
    np.testing.assert_allclose(profiled(truth + 5000, truth.sum()), truth)
    np.testing.assert_allclose(profiled(truth - 500, truth.sum()), truth)


def shares(keys, ns, provenance="share of profile"):
    return Shares(
        keys=tuple(keys),
        ns=np.array(ns, np.float64),
        provenance=(provenance,) * len(keys),
        runs=40,
    )


def test_an_entry_is_the_median_over_networks_of_the_mean_over_instances():
    one = shares("aab", [[100, 300, 1000], [100, 300, 1000]])
    two, three = shares("a", [[220]]), shares("a", [[900]])
    entries = in_place_entries([one, two, three])
    assert {key: entry.p50_ns for key, entry in entries.items()} == {"a": 220, "b": 1000}
    assert entries["a"].n == 120
    assert entries["a"].low_ns < 200
    assert entries["a"].high_ns > 300
    assert entries["b"].provenance == "share of profile"


def test_entries_of_one_network_add_up_to_it():
    keys = "abcabca"
    row = np.random.default_rng(0).uniform(1e3, 1e6, len(keys))
    entries = in_place_entries([shares(keys, [row])])
    total = sum(entries[key].p50_ns for key in keys)
    assert total == pytest.approx(row.sum(), abs=len(keys))


def test_a_time_that_was_split_by_work_has_a_wide_interval():
    entry = in_place_entries([shares("a", [[3000]], "estimated")])["a"]
    assert (entry.low_ns, entry.high_ns) == (1000, 9000)
