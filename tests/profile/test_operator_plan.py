"""Which pieces of a model are timed, and how its first operators check its sums."""

import pytest
from torch import nn

from hwnat.profile.operator_plan import adopted, cut_out, prefixes
from hwnat.profile.operators import _doubts
from hwnat.table.calibrate import Calibration
from hwnat.targets.base import get_target
from hwnat.targets.onnx.target import write_onnx


@pytest.fixture(scope="module", name="network")
def _network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(8, 4),
    )
    write_onnx(net, (1, 3, 32, 32), folder / "net.onnx")
    target = get_target("tflite")
    return adopted(folder / "net.onnx", target, folder), target, folder


def test_each_distinct_operator_is_one_piece_and_the_heaviest_come_first(network):
    whole, target, folder = network
    keys = [op.key for op in whole.trace.specs]
    assert len(set(keys)) < len(keys)
    pieces = cut_out([whole], target, folder, budget=99, report=lambda *_: None)
    assert {piece.op for piece in pieces} == set(keys)
    assert [op.key for op in target.trace(pieces[0].path).specs] == [pieces[0].op]
    few = cut_out([whole], target, folder, budget=2, report=lambda *_: None)
    assert few == pieces[:2]
    assert all(piece.op.startswith("conv|") for piece in few)


def test_prefixes_are_the_first_operators(network):
    whole, target, folder = network
    cut = prefixes(whole, target, folder, (0.25, 0.5))
    assert cut
    for prefix in cut:
        count = int(prefix.key.rpartition("=")[2])
        wanted = [op.key for op in whole.trace.specs[:count]]
        assert [op.key for op in prefix.trace.specs] == wanted


def test_a_table_that_misses_its_own_networks_says_so():
    check = Calibration().check
    near = check("near", sum_ns=110, ops=1, measured_ns=100)
    far = check("far", sum_ns=140, ops=1, measured_ns=100)
    assert _doubts([near]) == ()
    assert _doubts([near, far]) == (
        "1 of 2 predictions of its own networks are off by more than 25%; the worst, of far, is "
        "off by +40%: stop other programs and profile again with more --rounds",
    )


def test_the_interval_from_few_networks_is_wide_and_narrows_with_their_number():
    check = Calibration().check
    networks = tuple(check(str(i), sum_ns=100, ops=1, measured_ns=100) for i in range(8))
    widths = [Calibration(networks=networks[:n]).few_half_width() for n in (1, 2, 4, 8)]
    assert widths == sorted(widths, reverse=True)
    assert 0.1 < widths[0] < 0.3
    assert Calibration().few_half_width() is None
