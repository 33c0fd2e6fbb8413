import pytest

from hwnat.errors import DataError
from hwnat.table.importers.base import NetworkTotal, Source
from hwnat.table.importers.benchncnn import read_benchncnn

HEAD = "loop_count = 4\nnum_threads = 2\npowersave = 2\ngpu_device = -1\ncooling_down = 0\n"
NET = "                 net  min =   12.50  max =   12.75  avg =   12.61\n"


def read(text):
    return read_benchncnn(Source.of("log.txt", text.encode()))


def test_networks_are_read_in_order():
    other = NET.replace(" net ", " v2 ").replace("12.", "2.")
    assert read(HEAD + NET + other) == (
        NetworkTotal(name="net", keys=(), measured_ns=12_610_000),
        NetworkTotal(name="v2", keys=(), measured_ns=2_610_000),
    )


def test_a_published_output_is_read(shared_data):
    path = shared_data / "runtime-logs" / "benchncnn.stderr.txt"
    (network,) = read_benchncnn(Source.read(path))
    assert (network.name, network.measured_ns) == ("mycnn", 8_870_000)


def test_a_cut_output_is_refused():
    text = HEAD + NET
    for end in range(len(text)):
        with pytest.raises(DataError, match=r"^log\.txt"):
            read(text[:end])
    assert read(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12.61", "13.61", "outside min to max"),
        ("12.61", "nan", "not a finite number"),
        ("12.61", "0", "not a latency"),
        ("12.61", "1" * 5_000, "not a finite number"),
        ("max =", "max:", "expected 'NAME min"),
        (NET, NET + NET, "comes twice"),
        (NET, "", "no network was timed"),
        ("loop_count", "loops", "is it an output of benchncnn"),
    ],
)
def test_a_damaged_output_is_refused(old, new, message):
    text = HEAD + NET
    assert old in text
    with pytest.raises(DataError, match=message):
        read(text.replace(old, new))
