import numpy as np
import pytest
import torch
from torch import nn

from hwnat.errors import DataError
from hwnat.export.parity import INT8_LIMIT, LIMIT, Parity, check_parity, compare


def a_parity(**more):
    right = {"rows": 1, "max_abs_diff": 0.0, "output_range": 1.0, "top1_agreement": 1.0}
    return Parity(**right | more)


@pytest.mark.parametrize(
    ("more", "ok"),
    [
        ({}, True),
        ({"max_abs_diff": LIMIT}, True),
        ({"max_abs_diff": LIMIT * 1.01}, False),
        ({"max_abs_diff": LIMIT * 9, "output_range": 10.0}, True),
        ({"top1_agreement": 0.999}, False),
        ({"top1_agreement": None}, True),
        ({"top1_agreement": float("nan")}, False),
        ({"max_abs_diff": float("nan")}, False),
        ({"output_range": float("nan")}, False),
        ({"max_abs_diff": float("nan"), "output_range": 0.0}, False),
        ({"max_abs_diff": 1e-9, "output_range": 0.0}, False),
        ({"output_range": 0.0}, True),
        ({"max_abs_diff": float("inf"), "output_range": float("inf")}, False),
    ],
)
def test_only_agreement_within_the_limit_is_ok(more, ok):
    parity = a_parity(**more)
    assert parity.ok is ok
    if ok:
        parity.require("net.onnx")
    else:
        with pytest.raises(DataError, match=r"net\.onnx differs .*limit 1e-04"):
            parity.require("net.onnx")


@pytest.mark.parametrize(
    ("more", "ok"),
    [
        ({"max_abs_diff": INT8_LIMIT}, True),
        ({"max_abs_diff": INT8_LIMIT * 1.01}, False),
        ({"top1_agreement": 0.95}, True),
        ({"top1_agreement": 0.94}, False),
        ({"top1_agreement": None}, True),
        ({"top1_agreement": float("nan")}, False),
        ({"max_abs_diff": float("nan")}, False),
    ],
)
def test_integers_may_round_but_must_agree(more, ok):
    parity = a_parity(**more)
    if ok:
        parity.require("net.tflite", precision="int8")
    else:
        with pytest.raises(DataError, match=r"net\.tflite differs .*limit 2e-01|limit 3e-01"):
            parity.require("net.tflite", precision="int8")


def test_differences_are_measured_against_the_range_of_torch():
    wanted = np.array([[0, 1], [3, -1]], np.float32)
    parity = compare(wanted, wanted + np.array([[0, 0.5], [0, 0]], np.float32))
    assert parity == a_parity(rows=2, max_abs_diff=0.5, output_range=4.0)
    assert parity.relative == 0.125
    assert compare(wanted, wanted[:, ::-1]).top1_agreement == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_same_nan_or_infinity_on_both_sides_is_no_agreement(value):
    outputs = np.array([[0, value, 1]], np.float32)
    assert not compare(outputs, outputs).ok
    maps = outputs.reshape(1, 3, 1, 1)
    assert not compare(maps, maps).ok


def test_maps_have_no_top1():
    maps = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    assert compare(maps, maps).top1_agreement is None


def test_another_shape_is_refused():
    with pytest.raises(DataError, match=r"\(1, 2\) where PyTorch returns \(2, 2\)"):
        compare(np.zeros((2, 2), np.float32), np.zeros((1, 2), np.float32))


class Torch:
    """A session that runs the module itself, with a factor that may be wrong."""

    def __init__(self, module, batch, factor=1.0):
        self.module, self.factor, self.input_shape = module, factor, (batch, 2, 3, 3)

    def run(self, x):
        assert x.shape == self.input_shape
        with torch.no_grad():
            return self.module(torch.from_numpy(x)).numpy() * np.float32(self.factor)


@pytest.mark.parametrize("batch", [1, 5])
def test_images_are_fed_in_batches_of_the_file(batch, images):
    module = nn.Sequential(nn.Flatten(), nn.Linear(18, 4), nn.Dropout(0.5)).eval()
    x = images(130, 2, 3, 3)
    good = check_parity(module.train(), Torch(module.eval(), batch), x)
    assert good.ok
    assert good.rows == 130
    assert not check_parity(module, Torch(module, batch, 1.01), x).ok
    for wrong in (x[:0], x[:-1]):
        if len(wrong) % batch or not len(wrong):
            with pytest.raises(DataError, match="multiple of"):
                check_parity(module, Torch(module, batch), wrong)
