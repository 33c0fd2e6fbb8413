"""What timed pairs of networks become; `hwnat profile --model` is tested from the command line."""

from collections import Counter

from hwnat.profile.operators import _entries
from hwnat.records.measurement import Measurement
from hwnat.records.op import OpSpec
from hwnat.targets.modules.bench import Bench


def move(channels):
    return OpSpec(kind="move", in_shape=(1, 8, 8, channels))


def visits(key, ns):
    return [
        Measurement(
            job=f"{key}{round_}",
            setup="s",
            subject=key,
            round=round_,
            samples_ns=(ns,) * 4,
            reference_ns=(100_000,) * 4,
            disturbed=0,
            started="2026-01-01T00:00:00+00:00",
            ended="2026-01-01T00:00:01+00:00",
        )
        for round_ in range(3)
    ]


def test_an_operator_waits_for_the_moves_that_come_with_it_in_whatever_order():
    # Each brings the next one along; the last brings one that nobody could time.
    first, second, third, lone = (move(channels) for channels in (4, 8, 16, 32))
    rests = {first: [second], second: [third], third: [], lone: [move(64)]}
    benches = {
        op.key: (Bench(op=op, count=1), Counter(each.key for each in rest))
        for op, rest in rests.items()
    }
    timed = {}
    for number, (bench, _) in enumerate(benches.values(), start=1):
        timed[bench.key] = visits(bench.key, 100_000 + 10_000 * number)
        timed[bench.baseline.key] = visits(bench.baseline.key, 100_000)
    found = _entries(benches, timed, reference_ns=100_000)
    assert {key: each.p50_ns for key, each in found.items()} == {
        third.key: 30_000,
        second.key: 1,  # 20,000 less 30,000
        first.key: 10_000 - 1,
    }
