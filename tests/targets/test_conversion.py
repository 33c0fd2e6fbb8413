"""Every conversion and every export equals its source, or is refused by name."""

import collections
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwnat.errors import DataError, HwnatError, UsageError
from hwnat.targets.base import get_target
from hwnat.targets.difference import why_different
from hwnat.targets.onnx.conversion import check_conversion
from hwnat.targets.onnx.session import open_session, session_options
from hwnat.targets.tflite.convert import run_tflite

sys.path.append(str(Path(__file__).with_name("onnx")))
from random_graphs import random_graph

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


def drawn(session, seed):
    """Inputs other than those that the conversion itself was checked with."""
    rng = np.random.default_rng(seed)
    return {
        given.name: rng.standard_normal(given.shape).astype(np.float32)
        if given.type == "tensor(float)"
        else rng.integers(0, 2, given.shape).astype(DTYPES[given.type])
        for given in session.get_inputs()
    }


def magnifies(session, feed, name, wanted):
    """Whether ONNX Runtime itself answers otherwise when inputs change by a millionth."""
    rng = np.random.default_rng(11)
    near = {
        key: value * (1 + 1e-6 * rng.standard_normal(value.shape)).astype(np.float32)
        if value.dtype == np.float32
        else value
        for key, value in feed.items()
    }
    return bool(why_different(wanted, session.run([name], near)[0], limit=1e-4))


def outcome(model, folder, seed=7):
    """Convert a model to TFLite; return `converted`, `invalid`, or the reason of the refusal."""
    file, path = folder / "net.onnx", folder / "net.tflite"
    onnx.save(model, file)
    try:
        session = open_session(file, session_options(1))
    except DataError:
        return "invalid"
    feed = drawn(session, seed)
    try:
        get_target("tflite").convert(file, path)
    except HwnatError as error:
        return str(error)
    names = [output.name for output in session.get_outputs()]
    wanted = session.run(names, feed)
    for name, one, other in zip(names, wanted, run_tflite(path, feed), strict=True):
        # Some graphs magnify the rounding of some inputs; a wrong operator differs far more.
        why = why_different(one, other, limit=1e-3)
        assert not why or magnifies(session, feed, name, one), (name, why)
    return "converted"


def convert_all(seeds, folder):
    counts = collections.Counter()
    for seed in seeds:
        try:
            kind = outcome(random_graph(seed), folder, seed)
        except Exception as error:
            msg = f"seed {seed}: {error}"
            raise AssertionError(msg) from error
        assert "\n" not in kind
        counts["refused" if kind not in ("converted", "invalid") else kind] += 1
    assert counts["converted"] >= 0.7 * len(seeds), counts
    assert counts["converted"] + counts["refused"] + counts["invalid"] == len(seeds)


@pytest.mark.parametrize("start", range(0, 120, 30))
def test_random_graphs_are_converted_right_or_refused(start, tmp_path):
    convert_all(range(start, start + 30), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 3000, 200))
def test_two_thousand_random_graphs_are_converted_right_or_refused(start, tmp_path):
    convert_all(range(start, start + 200), tmp_path)


def make(nodes, shape=(1, 4, 8, 8), *, stored=None, outputs=("y",), opset=17, more=()):
    """Build a model of an input `x` and the given nodes (kind, inputs, outputs, attributes)."""
    built = [
        helper.make_node(kind, ins, outs, f"{kind.lower()}{i}", **attributes)
        for i, (kind, ins, outs, attributes) in enumerate(nodes)
    ]
    constants = [numpy_helper.from_array(np.asarray(v), n) for n, v in (stored or {}).items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape), *more]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(built, "g", inputs, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return onnx.shape_inference.infer_shapes(model)


F, INT = np.float32, np.int64
ONE = [("Relu", ["x"], ["y"], {})]


def clip(bounds, **stored):
    return make([("Clip", ["x", *bounds], ["y"], {})], stored=stored)


TWO_HEADS = [("Relu", ["x"], ["r"], {}), ("Sigmoid", ["r"], ["y"], {}), ("Tanh", ["x"], ["z"], {})]
TOKENS = helper.make_tensor_value_info("t", TensorProto.INT64, (1, 5))
RIGHT = {
    "clip without a lower bound": clip(["", "hi"], hi=F(0.0)),
    "clip to six": clip(["", "hi"], hi=F(6.0)),
    "bounds of one element": clip(["lo", "hi"], lo=F([0.0]), hi=F([6.0])),
    "clip without bounds": make([("Clip", ["x", "", ""], ["c"], {}), ("Tanh", ["c"], ["y"], {})]),
    "clip of an old opset": make([("Clip", ["x"], ["y"], {"max": 0.5})], opset=9),
    "sum of three": make([("Relu", ["x"], ["a"], {}), ("Sum", ["x", "a", "x"], ["y"], {})]),
    "mean of three": make([("Relu", ["x"], ["a"], {}), ("Mean", ["x", "a", "x"], ["y"], {})]),
    "max of one": make([("Max", ["x"], ["m"], {}), ("Relu", ["m"], ["y"], {})]),
    "two heads": make(TWO_HEADS, outputs=("y", "z")),
    "two heads in the other order": make(TWO_HEADS, outputs=("z", "y")),
    "a head that another reads": make(TWO_HEADS, outputs=("r", "y", "z")),
    "an input returned": make(ONE, outputs=("y", "x")),
    "relu of a join": make([
        ("Concat", ["x", "x"], ["c"], {"axis": 1}), ("Relu", ["c"], ["y"], {})]),
    "a constant returned": make(
        [*ONE, ("Identity", ["c"], ["z"], {})], stored={"c": F([1, 2])}, outputs=("y", "z")
    ),
    "two inputs": make([("Mul", ["x", "w"], ["y"], {})], more=[
        helper.make_tensor_value_info("w", TensorProto.FLOAT, (4, 1, 8))]),
    "tokens": make(
        [("Gather", ["c", "t"], ["e"], {}), ("Relu", ["x"], ["y"], {})],
        stored={"c": np.eye(3, dtype=F)}, outputs=("y", "e"), more=[TOKENS],
    ),
    "tokens of another type": make(
        [("Cast", ["t"], ["f"], {"to": 1}), ("Relu", ["x"], ["y"], {})],
        outputs=("y", "f"), more=[TOKENS],
    ),
    "classes": make([("ArgMax", ["x"], ["y"], {"axis": 1, "keepdims": 0})]),
    "softmax that flattens": make([("Softmax", ["x"], ["y"], {"axis": 1})], opset=11),
    "softmax by default of an old opset": make([("Softmax", ["x"], ["y"], {})], opset=9),
    "dilated maximum": make(
        [("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2], "dilations": [2, 2]})]
    ),
    "dilated mean": make(
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 2], "dilations": [2, 2]})], opset=19
    ),
    "mean whose size is rounded up": make([("AveragePool", ["x"], ["y"], {
        "kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 0, 0, 1]})]),
    "pad of one axis": make(
        [("Pad", ["x", "p", "", "a"], ["y"], {"mode": "reflect"})],
        stored={"p": INT([1, 2]), "a": INT([-1])}, opset=18,
    ),
    "reshape that keeps zero": make([("Reshape", ["x", "s"], ["y"], {})],
                                    stored={"s": INT([0, -1, 4])}),
    "shape that is computed": make([
        ("Shape", ["x"], ["s"], {}), ("Gather", ["s", "i"], ["n"], {}),
        ("Concat", ["n", "m"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {}),
    ], stored={"i": INT([0]), "m": INT([-1])}),
    "slice backwards": make([("Slice", ["x", "a", "b", "c", "d"], ["y"], {})], stored={
        "a": INT([-1]), "b": INT([-100]), "c": INT([3]), "d": INT([-2])}),
    "vector added to a map": make([
        ("ReduceMean", ["x"], ["m"], {"axes": [1], "keepdims": 0}),
        ("ReduceMean", ["m"], ["v"], {"axes": [1], "keepdims": 0}),
        ("Add", ["x", "v"], ["y"], {})]),
    "batch norm of vectors": make(
        [("BatchNormalization", ["x", *"abcd"], ["y"], {"epsilon": 0.1})], (3, 4),
        stored={"a": F([1, 2, 3, 4]), "b": F([0, 1, 0, 1]), "c": F([0, 0, 1, 1]), "d": F([1] * 4)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_every_form_of_an_operator_is_read(name, tmp_path):
    assert outcome(RIGHT[name], tmp_path) == "converted"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (make([("Elu", ["x"], ["y"], {"alpha": 0.5})]), "converted"),
        (
            make([("MaxPool", ["x"], ["y", "z"], {"kernel_shape": [2, 2]})], outputs=("y", "z")),
            "MaxPool at 'maxpool0' (output 1, 'z', is not supported)",
        ),
        (
            make([("Dropout", ["x"], ["y", "z"], {})], outputs=("y", "z"), opset=11),
            "Dropout at 'dropout0' (output 1, 'z', is not supported)",
        ),
        (
            make([("RandomNormalLike", ["x"], ["n"], {}), ("Add", ["x", "n"], ["y"], {})]),
            "RandomNormalLike at 'randomnormallike0' (no rule)",
        ),
        (
            make([("Cast", ["x"], ["h"], {"to": 10}), ("Cast", ["h"], ["y"], {"to": 1})]),
            "Cast at 'cast0' (converts to float16)",
        ),
        (
            make([("ArgMax", ["x"], ["y"], {"select_last_index": 1})]),
            "ArgMax at 'argmax0' (attribute select_last_index = 1 is not supported)",
        ),
        (
            make([("ConvTranspose", ["x", "w"], ["y"], {"output_shape": [9, 9]})],
                 stored={"w": np.ones((4, 1, 2, 2), F)}),
            "ConvTranspose at 'convtranspose0' (output_shape or auto_pad)",
        ),
        (
            make([("Conv", ["x", "x"], ["y"], {})], (4, 4, 1, 1)),
            "Conv at 'conv0' (input 1 is computed, not stored)",
        ),
        (
            make([("CumSum", ["x", "a"], ["y"], {"reverse": 1})], stored={"a": INT(1)}),
            "CumSum at 'cumsum0' (no rule)",
        ),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_with_its_operator_and_node(model, said, tmp_path):
    reason = outcome(model, tmp_path)
    assert said in reason
    if said != "converted":
        assert "onnx2tf in an environment of its own" in reason
        assert not (tmp_path / "net.tflite").exists()


def test_weights_of_over_two_gigabytes_are_refused_before_they_are_read(tmp_path):
    model = make([("MatMul", ["x", "w"], ["y"], {})], (1, 1024), stored={"w": F([[0]])})
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    del weights.dims[:]
    weights.dims.extend([1024, 1 << 19])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="net.data")
    weights.external_data.add(key="length", value=str(1 << 31))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1 << 19)))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with (tmp_path / "net.data").open("wb") as data:
        data.truncate(1 << 31)  # a sparse file
    for run in (get_target("tflite").trace, lambda p: get_target("tflite").convert(p, p)):
        with pytest.raises(UsageError, match=r"has 2\.15 GB of weights.*Use a table of onnx"):
            run(tmp_path / "net.onnx")


def test_outputs_keep_their_names_and_order(tmp_path):
    onnx.save(RIGHT["two heads in the other order"], tmp_path / "net.onnx")
    get_target("tflite").convert(tmp_path / "net.onnx", tmp_path / "net.tflite")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(tmp_path / "net.tflite"))
    assert [o["name"] for o in interpreter.get_output_details()] == ["z", "y"]
    assert [i["name"] for i in interpreter.get_input_details()] == ["x"]


def test_a_converted_file_that_differs_is_refused_by_output(tmp_path):
    file = tmp_path / "net.onnx"
    onnx.save(RIGHT["two heads"], file)
    session = open_session(file, session_options(1))

    def wrong(feed):
        y, z = session.run(None, dict(feed))
        return y, z + np.float32(0.01) * (z > 0.5)

    check_conversion(file, lambda feed: session.run(None, dict(feed)), remedy="")
    with pytest.raises(UsageError, match=r"output 'z' differs from ONNX Runtime by 1\.00e-02"):
        check_conversion(file, wrong, remedy="")


@pytest.mark.parametrize(
    ("wanted", "returned", "said"),
    [
        (F([0, 1]), F([0, 1 + 9e-5]), ""),
        (F([0, 1]), F([0, 1 + 2e-4]), r"differs from ONNX Runtime by 2\.0"),
        (F([0, 1]), F([0, np.nan]), "differs"),
        (F([0, np.nan, 1]), F([0, np.nan, 1]), ""),
        (F([0, np.inf, 1]), F([0, -np.inf, 1]), "NaN or infinity in other places"),
        (F([[3]]), F([[3.000001]]), ""),
        (F([[3]]), F([[3.001]]), "differs"),
        (F([[2e-5]]), F([[2e-5 + 6e-9]]), ""),
        (F([[2e-5]]), F([[2.5e-5]]), "differs"),
        (F([1, 2]), F([[1, 2]]), r"is float32 \(1, 2\) instead of"),
        (INT([1, 2]), np.int32([1, 2]), "is int32"),
        (INT([1, 2]), INT([1, 3]), "in 1 of 2 values"),
        (F([]), F([]), ""),
    ],
)
def test_outputs_agree_within_a_share_of_their_range(wanted, returned, said):
    import re

    assert re.search(said, why_different(wanted, returned))
    assert bool(why_different(wanted, returned)) == bool(said)


class Applies(nn.Module):
    """Applies a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


ODD = [
    nn.AvgPool2d(2, divisor_override=3),
    Applies(lambda x: nn.functional.avg_pool2d(x, 2, divisor_override=3)),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True),
    nn.BatchNorm2d(4, track_running_stats=False),
    nn.BatchNorm2d(4, affine=False),
    nn.InstanceNorm2d(4, affine=True),
    nn.GroupNorm(2, 4),
    nn.Conv2d(4, 4, 3, padding="same", dilation=2),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, 2),
    nn.Upsample(scale_factor=1.5, mode="bicubic"),
    nn.Upsample((9, 5), mode="bilinear", align_corners=True),
    nn.AdaptiveAvgPool2d((4, 3)),
    nn.Softplus(2, 1),
    nn.Hardtanh(-2, 1),
    nn.ELU(0.3),
    nn.Threshold(0.1, 20),
    nn.PixelShuffle(2),
    nn.ConstantPad2d((1, -1, 0, 2), 3.0),
    nn.LocalResponseNorm(2),
    nn.LocalResponseNorm(3),
    nn.Dropout2d(),
    nn.PReLU(4),
]


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize("module", ODD, ids=[f"{type(m).__name__}-{i}" for i, m in enumerate(ODD)])
def test_odd_arguments_of_modules_are_kept_or_refused(name, module, randomised, tmp_path):
    target = get_target(name)
    whole = randomised(nn.Sequential(nn.Conv2d(4, 4, 1), module)).eval()
    path, x = tmp_path / f"net{target.suffix}", np.random.default_rng(3)
    images = x.standard_normal((2, 4, 7, 6)).astype(np.float32)
    try:
        target.export(whole, images.shape, path)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017 - exporting may also succeed
        assert not list(tmp_path.iterdir())
        return
    with torch.no_grad():
        wanted = whole(torch.from_numpy(images)).numpy()
    assert why_different(wanted, target.load(path).run(images), "PyTorch") == ""


def test_a_divisor_that_the_exporter_drops_is_named(tmp_path):
    net = nn.Sequential(nn.AvgPool2d(2, divisor_override=3))
    for name in ("onnx", "openvino", "tflite"):
        with pytest.raises(UsageError, match="AvgPool2d at '0' divides by a number of its own"):
            get_target(name).export(net, (1, 4, 6, 6), tmp_path / "net")
