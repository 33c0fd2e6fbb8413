import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.device.cores import by_speed, choose_cluster_cores
from hwnat.device.probe import core_list, probe_machine
from hwnat.errors import UsageError
from hwnat.records.machine import Cluster

PRIME = (
    Cluster(cores=(0, 1, 2, 3), max_hz=1_800_000_000, part="Cortex-A55"),
    Cluster(cores=(4, 5, 6), max_hz=2_300_000_000, part="Cortex-A78"),
    Cluster(cores=(7,), max_hz=2_800_000_000, part="Cortex-X1"),
)
TWO = (
    Cluster(cores=(0, 1, 2, 3, 4, 5), max_hz=1_800_000_000),
    Cluster(cores=(6, 7), max_hz=2_200_000_000),
)
EQUAL = (Cluster(cores=tuple(range(8)), max_hz=2_000_000_000),)
GAPS = (Cluster(cores=(0, 2)), Cluster(cores=(5, 7)))


@pytest.mark.parametrize(
    ("clusters", "threads", "expected"),
    [
        (PRIME, 1, (7,)),
        (PRIME, 2, (5, 6)),
        (PRIME, 3, (4, 5, 6)),
        (PRIME, 4, (4, 5, 6, 7)),
        (PRIME, 6, (2, 3, 4, 5, 6, 7)),
        (PRIME, 20, tuple(range(8))),
        (TWO, 1, (7,)),
        (TWO, 2, (6, 7)),
        (TWO, 4, (2, 3, 4, 5)),
        (TWO, 8, tuple(range(8))),
        (EQUAL, 1, (7,)),
        (EQUAL, 4, (4, 5, 6, 7)),
        (GAPS, 1, (7,)),
        (GAPS, 3, (2, 5, 7)),
        ((), 4, ()),
    ],
)
def test_auto_takes_the_fastest_cores_that_are_alike(clusters, threads, expected):
    assert choose_cluster_cores(clusters, "auto", threads=threads) == expected


def test_cores_that_are_named_are_taken_if_they_are_there():
    assert choose_cluster_cores(PRIME, [2, 5], threads=1) == (2, 5)
    assert choose_cluster_cores((), [2, 5], threads=1) == (2, 5)
    with pytest.raises(UsageError, match=r"Cores \[1, 6\] are not available.*\[0, 2, 5, 7\]"):
        choose_cluster_cores(GAPS, [0, 1, 6], threads=1)


@pytest.mark.parametrize("name", ["phone 4+3+1", "phone 2+6", "8 equal cores"])
def test_a_phone_is_sorted_by_what_it_tells(a_machine, a_phone, name):
    phone = a_phone(inside=a_machine(name))
    found = probe_machine(phone.link()).clusters
    assert [len(each.cores) for each in found] == {
        "phone 4+3+1": [4, 3, 1],
        "phone 2+6": [6, 2],
        "8 equal cores": [8],
    }[name]
    phone.state.online({0, 1, 4})
    left = [core for each in probe_machine(phone.link()).clusters for core in each.cores]
    assert left == [0, 1, 4]


def test_equal_clocks_are_told_apart_by_design():
    """An in-order core is the slow one, whatever its clock says."""
    slow = Cluster(cores=(4, 5), max_hz=2_000_000_000, part="Cortex-A53")
    fast = Cluster(cores=(0, 1), max_hz=2_000_000_000, part="Cortex-A73")
    assert by_speed([fast, slow]) == (slow, fast)


def test_computing_power_goes_before_clocks_where_all_tell_it():
    efficient = Cluster(cores=(0,), max_hz=3_000_000_000, capacity=300)
    powerful = Cluster(cores=(1,), max_hz=2_000_000_000, capacity=1024)
    untold = Cluster(cores=(2,), max_hz=2_500_000_000)
    assert by_speed([powerful, efficient]) == (efficient, powerful)
    assert by_speed([powerful, efficient, untold])[-1] == efficient


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(1, 50), st.randoms())
def test_cores_are_distinct_as_many_as_can_be_and_there(cores, threads, random):
    numbers, clusters = sorted(cores), []
    while numbers:
        size = random.randint(1, len(numbers))
        clusters.append(Cluster(cores=tuple(numbers[:size])))
        numbers = numbers[size:]
    found = choose_cluster_cores(clusters, "auto", threads=threads)
    assert len(set(found)) == len(found) == min(threads, len(cores))
    assert set(found) <= cores
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0-3,7", (0, 1, 2, 3, 7)), ("2", (2,)), ("", ()), (None, ()), ("0-3,x", ()), ("٣", ())],
)
def test_lists_of_the_kernel_are_read(text, expected):
    assert core_list(text) == expected
