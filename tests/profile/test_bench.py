"""Files timed beside each other: exact with a runtime whose runs say how long they took."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnat.errors import DataError, UsageError
from hwnat.profile.bench import _Model, _summary, bench
from hwnat.records.device import DeviceSpec, TimingProtocol, load_device
from hwnat.records.measurement import Measurement
from hwnat.targets.base import get_target

QUICK = TimingProtocol(rounds=1, runs=3, warmup=0, visit_ms=0.0)


def write_conv(path, channels):
    """Write a convolution with an activation on a (1, 3, 8, 8) input."""
    weight = np.zeros((channels, 3, 3, 3), np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, channels, 6, 6)),
    ]
    stored = [numpy_helper.from_array(weight, "w")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], stored)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def stub(installed, monkeypatch):
    """Return a device of this machine whose runtime is the stub, in child processes too."""
    installed("hwnat.targets", stub="stub_target:StubTarget")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    return DeviceSpec(name="box", transport="local", target="stub", protocol=QUICK)


def stub_file(folder, name, side):
    path = folder / f"{name}.stub"
    path.write_text(repr((1, 3, side, side)))
    return path


def test_every_file_is_compared_with_the_first(stub, tmp_path):
    files = [stub_file(tmp_path, name, side) for name, side in (("a", 20), ("b", 21), ("c", 10))]
    base, slower, faster = bench(files, device=stub, rounds=4)
    assert [record.file for record in (base, slower, faster)] == files
    assert (base.ratio, base.ratio_low, base.ratio_high) == (1, 1, 1)
    assert slower.ratio == pytest.approx(1.05, rel=1e-3)
    assert faster.ratio == pytest.approx(0.5, rel=1e-3)
    assert slower.p50_ns == pytest.approx(1.05 * base.p50_ns, rel=1e-3)
    assert base.p10_ns <= base.p50_ns <= base.p90_ns
    assert base.footprint.cold_load_ns > 0
    assert base.footprint.warm_load_ns > 0


def test_a_baseline_is_named_and_a_file_can_be_compared_with_itself(stub, tmp_path):
    base, other = stub_file(tmp_path, "a", 20), stub_file(tmp_path, "b", 40)
    first, second = bench([other], device=stub, against=base, rounds=2)
    assert (first.file, second.file) == (base, other)
    assert second.ratio == pytest.approx(2, rel=1e-3)
    _, same = bench([base, base], device=stub, rounds=2)
    assert same.ratio == pytest.approx(1, rel=1e-3)


def test_the_interval_of_a_ratio_reaches_from_slow_visits_to_fast_ones(stub, tmp_path):
    visits = [
        Measurement(
            job=str(number),
            setup="s",
            subject="a",
            round=number,
            samples_ns=(2000 + 100 * number,) * 3,
            reference_ns=(1000,) * 3,
            disturbed=0,
            started="",
            ended="",
        )
        for number in range(5)
    ]
    path = stub_file(tmp_path, "a", 20)
    model = _Model(key="a", file=path, path=path, target=get_target(stub.target))
    record = _summary(model, visits, visits, reference_ns=1000, footprint=None)
    assert record.ratio == pytest.approx(2.2)
    assert 2.0 <= record.ratio_low < record.ratio < record.ratio_high <= 2.4


def test_a_file_that_cannot_be_traced_is_timed_and_says_why(stub, tmp_path):
    """The stub traces nothing, as a runtime refuses to trace control flow."""
    (alone,) = bench([stub_file(tmp_path, "a", 20)], device=stub, rounds=1)
    assert alone.p50_ns > 0
    assert (alone.kernels, alone.delegated, alone.costs) == (None, None, ())
    assert "stub" in alone.untraced


def test_each_format_runs_on_its_own_runtime_here(tmp_path):
    files = [write_conv(tmp_path / f"{channels}.onnx", channels) for channels in (4, 8)]
    pair = bench(files, rounds=1, cache=tmp_path / "models")
    assert {record.runtime.split()[0] for record in pair} == {"onnxruntime"}
    assert all(record.kernels for record in pair)
    assert sum(cost.share for cost in pair[0].costs) == pytest.approx(1)
    assert all(record.footprint.peak_bytes > 0 for record in pair)


def test_an_onnx_file_is_converted_for_a_device_of_another_format(tmp_path):
    file = write_conv(tmp_path / "net.onnx", 4)
    device = load_device("host-tflite")
    (alone,) = bench([file], device=device, rounds=1, cache=tmp_path / "models")
    assert alone.delegated == alone.kernels >= 1
    assert [cost.share for cost in alone.costs] == [None] * len(alone.costs)
    assert len(list((tmp_path / "models/tflite").iterdir())) == 1


def test_an_operator_without_a_key_has_its_runtimes_name(tmp_path):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 9)) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Hardmax", ["x"], ["y"])], "net", ends[:1], ends[1:]
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "net.onnx")
    (alone,) = bench([tmp_path / "net.onnx"], rounds=1, cache=tmp_path / "models")
    assert [(cost.kind, cost.count) for cost in alone.costs] == [("Hardmax", 1)]


def test_what_cannot_be_timed_is_refused_by_name(tmp_path):
    odd = tmp_path / "net.bin"
    odd.write_bytes(b"")
    with pytest.raises(UsageError, match=r"net.bin does not end in .onnx, .tflite, .xml"):
        bench([odd])
    with pytest.raises(DataError, match=r"no model file .*gone.onnx"):
        bench([tmp_path / "gone.onnx"])
    with pytest.raises(UsageError, match=r"at least one file"):
        bench([])
