"""Traces of models that nobody here wrote: names, types, layouts and operators of any kind."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnat.targets.base import get_target
from hwnat.targets.openvino.graph import parts_of

RNG = np.random.default_rng(0)
#: What every model returns; shapes are inferred.
SHAPE = (1, 3, 16, 16)


def weights(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(RNG.standard_normal(shape).astype(dtype), name)


def saved(path, nodes, stored=(), *, opset=17, shape=SHAPE, outputs=("y",)):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", [image], results, list(stored))
    imports = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def conv(source, result, channels, name, size=3):
    node = helper.make_node(
        "Conv", [source, f"w_{name}"], [result], name, pads=[size // 2] * 4
    )  # fmt: skip
    return node, weights(f"w_{name}", *channels, size, size)


def keys(trace):
    return [kernel.op.key for kernel in trace.ops]


def assert_whole(trace):
    """Every kernel has a time and each node of the file belongs to one kernel at most."""
    names = [name for kernel in trace.ops for name in kernel.nodes]
    assert len(set(names)) == len(names)
    assert all(kernel.profile_ns is not None for kernel in trace.ops)


FUNCTIONS = {
    "Mish": (18, {}, "act|in=1x16x16x16|act=mish|float32"),
    "GroupNormalization": (21, {"num_groups": 4}, "norm|in=1x16x16x16|op=group|float32"),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_an_operator_that_the_runtime_expands_is_one_kernel_with_its_name(kind, tmp_path):
    opset, attributes, key = FUNCTIONS[kind]
    first, w1 = conv("x", "a", (16, 3), "one")
    extra = ["s", "b"] if kind == "GroupNormalization" else []
    function = helper.make_node(kind, ["a", *extra], ["f"], "the_function", **attributes)
    last, w2 = conv("f", "y", (16, 16), "two")
    stored = [w1, w2, *(weights(name, 16) for name in extra)]
    path = saved(tmp_path / "net.onnx", [first, function, last], stored, opset=opset)
    trace = get_target("onnx").trace(path)
    assert_whole(trace)
    (kernel,) = [kernel for kernel in trace.ops if "the_function" in kernel.nodes]
    assert kernel.op.key == key
    assert kernel.nodes == ("the_function",)
    assert " + " in kernel.kernel


def test_both_kernels_of_a_hard_swish_are_one_activation(tmp_path):
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], "one"),
        helper.make_node("HardSwish", ["a"], ["h"], "act"),
        helper.make_node("Gemm", ["h", "v"], ["y"], "two"),
    ]
    stored = [weights("w", 16, 32), weights("v", 32, 4)]
    path = saved(tmp_path / "net.onnx", nodes, stored, shape=(1, 16))
    trace = get_target("onnx").trace(path)
    assert_whole(trace)
    assert [(kernel.op.key, kernel.nodes) for kernel in trace.ops] == [
        ("linear|in=1x1x1x16|out=32|float32", ("one",)),
        ("act|in=1x1x1x32|act=hswish|float32", ("act",)),
        ("linear|in=1x1x1x32|out=4|float32", ("two",)),
    ]


@pytest.mark.parametrize(("kind", "operands"), [("Add", 2), ("Mul", 2), ("Sum", 3)])
def test_channels_are_those_of_the_file_where_the_runtime_pads_them(kind, operands, tmp_path):
    stem, w0 = conv("x", "s", (20, 3), "stem")
    nodes, stored = [stem, helper.make_node("Relu", ["s"], ["sr"], "act_s")], [w0]
    for name in "abc"[:operands]:
        node, w = conv("sr", name, (20, 20), name)
        nodes += [node, helper.make_node("Sigmoid", [name], [name + "r"], "act_" + name)]
        stored.append(w)
    joined = [name + "r" for name in "abc"[:operands]]
    last, w = conv("j", "y", (20, 20), "last")
    nodes += [helper.make_node(kind, joined, ["j"], "join"), last]
    trace = get_target("onnx").trace(saved(tmp_path / "net.onnx", nodes, [*stored, w]))
    assert_whole(trace)
    name = "mul" if kind == "Mul" else "add"
    assert f"{name}|in=1x16x16x20|act=none|n={operands}|float32" in keys(trace)
    assert keys(trace).count("conv|in=1x16x16x20|out=20|k=3|s=1|act=none|float32") == 1


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_each_kind_of_operator_has_a_key(name, tmp_path):
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["a"], "conv", strides=[2, 1], pads=[1, 1, 1, 1]),
        node("ReduceSum", ["a", "axes"], ["r"], "reduce", keepdims=1),
        node("Div", ["a", "r"], ["d"], "div"),
        node("Resize", ["d", "", "", "sizes"], ["z"], "resize", mode="linear"),
        node("Erf", ["z"], ["e"], "erf"),
        node("Cast", ["e"], ["i"], "cast", to=TensorProto.INT32),
        node("Cast", ["i"], ["y"], "back", to=TensorProto.FLOAT),
        node("MaxPool", ["e"], ["y2"], "pool", kernel_shape=[3, 2], strides=[1, 2]),
    ]
    stored = [
        weights("w", 8, 3, 3, 3),
        numpy_helper.from_array(np.array([1], np.int64), "axes"),
        numpy_helper.from_array(np.array([1, 8, 24, 24], np.int64), "sizes"),
    ]
    path = saved(tmp_path / "net.onnx", nodes, stored, outputs=("y", "y2"))
    trace = get_target(name).trace(path)
    assert_whole(trace)
    assert not trace.unknown
    for key in (
        "conv|in=1x16x16x3|out=8|k=3|s=2|act=none|sw=1|float32",
        "reduce|in=1x8x16x8|op=sum|out=1|float32",
        "resize|in=1x8x16x8|o=24x24|op=linear|float32",
    ):
        assert key in keys(trace)
    assert any(key.startswith("pool|in=1x24x24x8|k=3|s=1|op=max|kw=2") for key in keys(trace))


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_an_unknown_operator_is_opaque_and_its_key_is_that_of_its_work(name, tmp_path):
    def traced(size, label):
        node = helper.make_node("LRN", ["x"], ["y"], label, size=size)
        (kernel,) = get_target(name).trace(saved(tmp_path / "net.onnx", [node])).unknown
        assert kernel.nodes == (label,)
        assert "LRN" in kernel.reason
        return kernel.op.key

    assert traced(5, "one") == traced(5, "another")
    assert traced(5, "one") != traced(3, "one")
    assert traced(5, "one").startswith("opaque|in=1x3x16x16|f=")


def test_weights_stored_in_half_precision_do_not_change_the_type_of_the_work(tmp_path):
    import openvino

    node, w = conv("x", "y", (8, 3), "conv")
    model = openvino.convert_model(saved(tmp_path / "net.onnx", [node], [w]))
    found = []
    for half in (True, False):
        path = tmp_path / f"net{half}.xml"
        openvino.save_model(model, path, compress_to_fp16=half)
        trace = get_target("openvino").trace(path)
        assert_whole(trace)
        found.append(keys(trace))
    assert found[0] == found[1]
    assert any(key.startswith("conv|in=1x16x16x3|out=8") for key in found[0])


def test_a_layer_name_with_a_comma_is_one_layer():
    known = {"conv,a/b": None, "relu": None, "a,b,c": None}
    assert parts_of("conv,a/b,relu", known) == ("conv,a/b", "relu")
    assert parts_of("a,b,c,made,relu", known) == ("a,b,c", "made", "relu")
    assert parts_of("", known) == ()


def _quantised(path):
    """Write a convolution between quantised tensors, as quantisers of ONNX models do."""
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"], "q1"),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "dq1"),
        node("DequantizeLinear", ["w", "s", "zw"], ["wd"], "dqw"),
        node("Conv", ["xd", "wd"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", ["c", "s", "z"], ["cq"], "q2"),
        node("DequantizeLinear", ["cq", "s", "z"], ["y"], "dq2"),
    ]
    stored = [
        numpy_helper.from_array(RNG.integers(-9, 9, (8, 3, 3, 3)).astype(np.int8), "w"),
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        numpy_helper.from_array(np.array(3, np.uint8), "z"),
        numpy_helper.from_array(np.array(0, np.int8), "zw"),
    ]
    return saved(path, nodes, stored)


def test_a_quantised_network_has_keys_with_both_types(tmp_path):
    trace = get_target("onnx").trace(_quantised(tmp_path / "net.onnx"))
    assert_whole(trace)
    assert not trace.unknown
    kernels = {kernel.op.key: kernel.nodes for kernel in trace.ops}
    assert "cast|in=1x16x16x3|w=uint8|float32" in kernels
    nodes = kernels["conv|in=1x16x16x3|out=8|k=3|s=1|act=none|w=int8|uint8"]
    assert {"dq1", "conv", "q2"} <= {*nodes}


def test_fused_attention_and_recurrent_layers_have_keys(tmp_path):
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["k"], "keys", perm=[0, 1, 3, 2]),
        node("MatMul", ["x", "k"], ["s"], "scores"),
        node("Softmax", ["s"], ["p"], "softmax"),
        node("MatMul", ["p", "x"], ["a"], "values"),
        node("Reshape", ["a", "shape"], ["r"], "flat"),
        node("LSTM", ["r", "w", "u"], ["y"], "lstm", hidden_size=32),
    ]
    stored = [
        numpy_helper.from_array(np.array([40, 1, 64], np.int64), "shape"),
        weights("w", 1, 128, 64),
        weights("u", 1, 128, 32),
    ]
    path = saved(tmp_path / "net.onnx", nodes, stored, shape=(1, 4, 40, 16))
    for name in ("onnx", "openvino"):
        trace = get_target(name).trace(path)
        assert_whole(trace)
        assert not trace.unknown
        assert "lstm|in=1x1x40x64|out=32|n=1|float32" in keys(trace)
    unfused = keys(get_target("onnx").trace(path))
    assert "matmul|in=1x4x40x40|out=16|float32" in unfused
    assert "softmax|in=1x4x40x40|float32" in unfused


def test_weights_of_another_type_than_the_activations_are_in_the_key(tmp_path):
    from hwnat.targets.tflite.file import FileBuilder

    found = []
    for dtype in ("float32", "int8"):
        builder = FileBuilder({"CONV_2D": 5})
        image = builder.tensor((1, 8, 8, 4), "x")
        w = builder.constant(RNG.integers(-9, 9, (8, 3, 3, 4)).astype(dtype))
        if dtype == "int8":
            builder.quantise(w, np.full(8, 0.1))
        bias = builder.constant(np.zeros(8, np.float32))
        y = builder.add(
            "CONV_2D", [image, w, bias], (1, 8, 8, 8), "Conv2DOptions", strideH=1, strideW=1,
            dilationHFactor=1, dilationWFactor=1,
        )  # fmt: skip
        path = tmp_path / f"{dtype}.tflite"
        path.write_bytes(builder.finish([image], [y]))
        found += keys(get_target("tflite").trace(path))
    assert found == [
        "conv|in=1x8x8x4|out=8|k=3|s=1|act=none|float32",
        "conv|in=1x8x8x4|out=8|k=3|s=1|act=none|w=int8|float32",
    ]
