"""Models with any inputs and outputs load and run; random values fit what the file does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnat.errors import DataError
from hwnat.profile.models import bound
from hwnat.targets.base import get_target
from hwnat.targets.inputs import INTEGERS, image_shape, random_feed, tensor_spec

TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def value(name, shape, dtype="float32"):
    return helper.make_tensor_value_info(name, TYPES[dtype], shape)


def stored(name, *shape):
    numbers = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(numbers, name)


def write(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


@pytest.fixture(params=["onnx", "openvino"])
def load(request):
    """Load an ONNX file in a runtime: `load(path)`."""
    target = get_target(request.param)

    def load(path):
        if target.suffix != ".onnx":
            target.convert(path, path.with_suffix(target.suffix))
        return target.load(path.with_suffix(target.suffix))

    return load


@pytest.mark.parametrize(("layout", "sizes"), [("NCHW", (2, 3, 8, 9)), ("NHWC", (2, 8, 9, 3))])
def test_the_shape_of_an_image_is_given_in_one_order(layout, sizes):
    spec = tensor_spec("x", np.array(sizes, np.int32), "float32", Path("net"))
    shape = image_shape([spec], Path("net"), layout=layout)
    assert shape == (2, 3, 8, 9)
    assert {type(size) for size in shape} == {int}


@pytest.mark.parametrize(
    "inputs",
    [[], [((1, 3, 8, 8), "float32")] * 2, [((1, 3, 8), "float32")], [((1, 3, 8, 8), "int64")]],
)
def test_inputs_that_are_not_one_image_are_refused_by_name(inputs):
    specs = [tensor_spec("x", shape, dtype, Path("net")) for shape, dtype in inputs]
    with pytest.raises(DataError, match=r"net must have one 4-D float32 input .* it has (x|none)"):
        image_shape(specs, Path("net"))


@pytest.mark.parametrize("dtype", sorted(TYPES))
@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3, 1, 2, 2)], ids=["scalar", "1-D", "6-D"])
def test_an_input_of_any_type_and_rank_is_run(load, dtype, shape, tmp_path):
    cast = helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT)
    sigmoid = helper.make_node("Sigmoid", ["c"], ["y"])
    path = write(tmp_path / "m.onnx", [cast, sigmoid], [value("x", shape, dtype)],
                 [value("y", shape)])  # fmt: skip
    session = load(path)
    (spec,) = session.signature
    assert (spec.name, spec.shape, spec.dtype) == ("x", shape, dtype)
    feed = random_feed(session.signature, np.random.default_rng(0))
    session.bind(feed)
    session.invoke()
    (y,) = session.outputs()
    wanted = 1 / (1 + np.exp(-feed[0].astype(np.float64)))
    assert (y.shape, y.dtype) == (shape, np.float32)
    np.testing.assert_allclose(y, wanted, atol=1e-5)


def test_several_inputs_and_outputs_keep_their_order_and_types(load, tmp_path):
    nodes = [
        helper.make_node("Where", ["mask", "b", "a"], ["mixed"]),
        helper.make_node("ArgMax", ["mixed"], ["best"], axis=1, keepdims=0),
    ]
    inputs = [value("b", (2, 3)), value("mask", (2, 3), "bool"), value("a", (2, 3))]
    outputs = [value("best", (2,), "int64"), value("mixed", (2, 3))]
    session = load(write(tmp_path / "m.onnx", nodes, inputs, outputs))
    assert [spec.name for spec in session.signature] == ["b", "mask", "a"]
    b, a = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    mask = np.array([[1, 0, 1], [1, 1, 0]], bool)
    session.bind([b, mask, a])
    session.invoke()
    best, mixed = session.outputs()
    assert best.dtype == np.int64
    np.testing.assert_array_equal(best, [1, 2])
    np.testing.assert_array_equal(mixed, np.where(mask, b, a))
    with pytest.raises(DataError, match=r"must have one 4-D .* has b \(2x3 float32\), mask"):
        session.run(np.zeros((1, 3, 8, 8), np.float32))
    for wrong in ([b, mask], [b, a, mask], [b, mask, a[:1]]):
        with pytest.raises(DataError, match=r"m\.(onnx|xml)"):
            session.bind(wrong)


def test_an_output_whose_size_depends_on_the_values_is_returned(load, tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("NonZero", ["r"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, [value("x", (1, 3, 4, 4))],
                 [value("y", (4, None), "int64")])  # fmt: skip
    session = load(path)
    for sign in (1, -1):
        x = sign * np.arange(-24, 24, dtype=np.float32).reshape(1, 3, 4, 4)
        session.bind([x])
        session.invoke()
        np.testing.assert_array_equal(session.outputs()[0], np.nonzero(np.maximum(x, 0)))


@pytest.mark.parametrize(
    ("between", "high"),
    [
        ([], 50),
        ([helper.make_node("Unsqueeze", ["ids", "one"], ["i"])], 50),
        ([helper.make_node("Add", ["ids", "one"], ["i"])], 25),
    ],
    ids=["direct", "reshaped", "shifted"],
)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_tokens_stay_within_the_table_that_they_index(load, between, high, dtype, tmp_path):
    cast = helper.make_node("Cast", ["ids"], ["wide"], to=TensorProto.INT64)
    nodes = [cast, *between]
    for node in between:
        node.input[0] = "wide"
    indices = "i" if between else "wide"
    nodes += [helper.make_node("Gather", ["table", indices], ["y"], axis=1)]
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
    path = write(tmp_path / "m.onnx", nodes, [value("ids", (9,), dtype)],
                 [value("y", None)], [stored("table", 2, 50), one])  # fmt: skip
    session = load(path)
    assert session.signature[0].high == high
    session.bind(random_feed(session.signature, np.random.default_rng(0)))
    session.invoke()


def test_drawn_values_are_plausible():
    def drawn(dtype, **keys):
        spec = tensor_spec("x", (4000,), dtype, Path("m"), **keys)
        (x,) = random_feed([spec], np.random.default_rng(3))
        assert x.dtype == dtype
        return x

    for dtype in ("float16", "float32", "float64"):
        assert abs(float(drawn(dtype).std()) - 1) < 0.1
    assert set(drawn("bool").tolist()) == {True, False}
    for dtype in sorted(INTEGERS):
        assert set(drawn(dtype, high=7).tolist()) == set(range(7))
        assert drawn(dtype, high=1).max() == 0
        whole = {"int8": (-128, 127), "uint8": (0, 255)}.get(dtype, (0, 1))
        assert (drawn(dtype).min(), drawn(dtype).max()) == whole
    assert drawn("int8", high=1000).max() == 127
    np.testing.assert_array_equal(drawn("int64", high=9), drawn("int64", high=9))


def test_types_that_cannot_be_drawn_are_refused_by_name(tmp_path):
    path = write(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.STRING, [1])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, [1])],
    )
    with pytest.raises(DataError, match=r"input 'x' takes string values, .* one of: bool"):
        get_target("onnx").load(path)


def test_dynamic_shapes_are_refused_with_the_option_that_fixes_them(load, tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Cast", ["ids"], ["z"], to=TensorProto.FLOAT),
    ]
    inputs = [value("x", ("N", 3, None, 32)), value("ids", (None, "length"), "int64")]
    path = write(tmp_path / "m.onnx", nodes, inputs, [value("y", None), value("z", None)])
    with pytest.raises(DataError, match=r"--shape x=1x3x224x32 --shape ids=1x128$"):
        load(path)


def test_a_model_with_any_inputs_is_bound_to_random_ones(tmp_path):
    gather = helper.make_node("Gather", ["table", "ids"], ["e"])
    multiply = helper.make_node("Mul", ["e", "scale"], ["y"])
    path = write(
        tmp_path / "m.onnx",
        [gather, multiply],
        [value("ids", (1, 16), "int64"), value("scale", ())],
        [value("y", (1, 16, 8))],
        [stored("table", 100, 8)],
    )
    first, second = (bound(get_target("onnx"), path, threads=1, seed=4) for _ in range(2))
    for session in (first, second):
        session.invoke()
    np.testing.assert_array_equal(first.outputs()[0], second.outputs()[0])
