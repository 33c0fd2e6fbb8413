"""The JSON report of `litert-benchmark`."""

import json

import pytest

from hwnat.device.runners.logs.litert_benchmark import read_litert_benchmark
from hwnat.device.runners.logs.record import Delegation, ModelLog, Runs
from hwnat.errors import DataError, DeviceError

LOG = ModelLog(
    inference=Runs(
        count=25,
        min_ns=2_200_000,
        avg_ns=2_310_000,
        median_ns=2_280_000,
        p95_ns=2_600_000,
        max_ns=2_900_000,
        std_ns=140_000,
    ),
    warmup=Runs(count=3, avg_ns=4_750_000),
    init_ns=55_500_000,
    first_ns=9_250_000,
    delegates=(Delegation(name="CPU", extent="partial"),),
)


@pytest.fixture
def text(runtime_logs):
    return (runtime_logs / "litert_benchmark.json").read_text()


def read(text):
    return read_litert_benchmark(text, where="board")


def test_a_report_is_read_to_the_last_field(text):
    assert read(text) == LOG


def test_a_published_report_is_read(shared_data):
    log = read((shared_data / "runtime-logs" / "litert_benchmark_py.json").read_text())
    assert log.inference == Runs(
        count=5,
        min_ns=110_000,
        avg_ns=150_000,
        median_ns=130_000,
        p95_ns=230_000,
        max_ns=250_000,
        std_ns=60_000,
    )
    assert log.delegates == (Delegation(name="GPU|CPU", extent="full"),)


def test_a_cut_report_is_refused(text):
    whole = len(text.rstrip())
    for end in range(whole):
        with pytest.raises(DataError, match=r"^board: "):
            read(text[:end])
    assert read(text[:whole]) == LOG


def test_a_missing_key_is_named(text):
    report = json.loads(text)
    used = {key for key in report["latency"] if key.endswith("_ms") or key.startswith("num_")}
    used.discard("p5_ms")
    assert len(used) >= 10
    for key in used:
        latency = {name: value for name, value in report["latency"].items() if name != key}
        with pytest.raises(DataError, match=rf"^board: .*'latency: {key}'"):
            read(json.dumps(report | {"latency": latency}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"avg_ms": 2.31', '"avg_ms": 0'),
        ('"avg_ms": 2.31', '"avg_ms": NaN'),
        ('"avg_ms": 2.31', '"avg_ms": 1e999'),
        ('"avg_ms": 2.31', '"avg_ms": true'),
        ('"avg_ms": 2.31', '"avg_ms": 5.31'),
        ('"avg_ms": 2.31', '"avg_ms": 2' + "9" * 400),
        ('"avg_ms": 2.31', '"avg_ms": 2' + "9" * 5_000),
        ('"num_runs": 25', '"num_runs": 25.5'),
        ('"num_runs": 25', '"num_runs": 25, "num_runs": 26'),
        ('"latency": {', '"latency": [], "other": {'),
        ('"accelerators": [', '"accelerators": [1, '),
    ],
)
def test_impossible_values_are_refused(text, old, new):
    assert old in text
    with pytest.raises(DataError, match=r"^board: "):
        read(text.replace(old, new))


@pytest.mark.parametrize("raw", ["", "hello\n", "{}", "[1, 2]\n", "[" * 100_000, "null"])
def test_another_text_is_refused(raw):
    with pytest.raises(DataError, match=r"^board: "):
        read(raw)


def test_an_exception_of_the_program_is_a_failure_of_the_device():
    with pytest.raises(DeviceError, match="raised an exception"):
        read("Traceback (most recent call last):\n  File x\nValueError: no\n")
