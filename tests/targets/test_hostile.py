"""Model files from anybody: each is read or refused in one line, whatever is in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnat.errors import DataError, HwnatError, UsageError
from hwnat.targets import limits
from hwnat.targets.base import get_target
from hwnat.targets.cuda.torch import TorchCudaTarget
from hwnat.targets.limits import reading
from hwnat.targets.onnx.graph import open_onnx

_DAMAGED = Path(__file__).with_name("damaged.py")


def save(path, nodes, *, shape=(1, 4, 8, 8), outputs=("y",), functions=(), stored=()):
    """Write a model that takes one image `x`."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", [image], results, list(stored))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=list(functions))
    path.write_bytes(model.SerializeToString())
    return path


def function(name, nodes):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    return helper.make_function("my", name, ["a"], ["b"], nodes, imports)


def call(name, inputs, outputs):
    return helper.make_node(name, inputs, outputs, domain="my")


def nested(depth):
    """Functions of which each calls the one before twice."""
    yield function("f0", [helper.make_node("Relu", ["a"], ["b"])])
    for index in range(1, depth):
        inside = f"f{index - 1}"
        yield function(f"f{index}", [call(inside, ["a"], ["t"]), call(inside, ["t"], ["b"])])


def test_local_functions_that_unroll_without_end_are_refused(tmp_path):
    path = save(tmp_path / "net.onnx", [call("f39", ["x"], ["y"])], functions=nested(40))
    with pytest.raises(DataError, match=f"over {limits.MAX_OPERATORS} operators"):
        open_onnx(path)


def test_local_functions_of_ordinary_size_are_read(tmp_path):
    path = save(tmp_path / "net.onnx", [call("f3", ["x"], ["y"])], functions=nested(4))
    assert len(get_target("onnx").trace(path).ops) == 8


def test_a_local_function_that_calls_itself_is_refused(tmp_path):
    functions = [
        function("f", [call("g", ["a"], ["b"])]),
        function("g", [call("f", ["a"], ["b"])]),
    ]
    path = save(tmp_path / "net.onnx", [call("f", ["x"], ["y"])], functions=functions)
    with pytest.raises(DataError, match=r"local function '[fg]' calls itself"):
        open_onnx(path)


def test_local_functions_that_call_each_other_too_deeply_are_refused(tmp_path):
    functions = [function("f0", [helper.make_node("Relu", ["a"], ["b"])])]
    functions += [function(f"f{i}", [call(f"f{i - 1}", ["a"], ["b"])]) for i in range(1, 100)]
    path = save(tmp_path / "net.onnx", [call("f99", ["x"], ["y"])], functions=functions)
    with pytest.raises(DataError, match=f"over {limits.MAX_CALL_DEPTH} deep"):
        open_onnx(path)


def test_a_local_function_that_loops_is_refused(tmp_path):
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "b", [], [])
    loops = function("f", [helper.make_node("Loop", ["a"], ["b"], body=body)])
    path = save(tmp_path / "net.onnx", [call("f", ["x"], ["y"])], functions=[loops])
    with pytest.raises(DataError, match=r"Loop in local function 'f' \(control flow"):
        open_onnx(path)


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
def test_a_graph_of_too_many_nodes_is_refused_before_a_runtime_sees_it(name, tmp_path):
    count = 10_000
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(count)]
    nodes[0].input[0] = "x"
    path = save(tmp_path / "net.onnx", nodes, outputs=[f"v{count}"])
    with pytest.raises(DataError, match=f"over {limits.MAX_OPERATORS} operators"):
        get_target(name).trace(path)


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize("sizes", [(1, 3, 100_000, 100_000), (2**62, 2**62, 2**62, 2**62)])
def test_a_declared_input_of_gigabytes_is_refused(name, sizes, tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "net.onnx", nodes, shape=sizes)
    with pytest.raises(DataError, match=rf"'x'.*over {limits.MAX_TENSOR_BYTES} bytes"):
        get_target(name).trace(path)


def test_a_small_input_that_is_blown_up_inside_is_refused(tmp_path):
    sizes = numpy_helper.from_array(np.array([1, 1, 10_000, 10_000]), "n")
    nodes = [helper.make_node("Tile", ["x", "n"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    path = save(tmp_path / "net.onnx", nodes, stored=[sizes])
    for name in ("onnx", "openvino"):
        with pytest.raises(DataError, match=f"over {limits.MAX_TENSOR_BYTES} bytes"):
            get_target(name).trace(path)


def test_a_tflite_file_that_declares_gigabytes_is_refused(onnx_net, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    path = tmp_path / "net.tflite"
    get_target("tflite").convert(onnx_net("mobilenet"), path)
    assert get_target("tflite").load(path).input_shape == (1, 3, 32, 32)
    whole = path.read_bytes()
    at = whole.index(np.array([1, 32, 32, 3], np.int32).tobytes())
    path.write_bytes(
        whole[:at] + np.array([1, 32, 2**24, 16], np.int32).tobytes() + whole[at + 16 :]
    )
    assert schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs
    for read in (get_target("tflite").load, get_target("tflite").trace):
        with pytest.raises(DataError, match=f"over {limits.MAX_TENSOR_BYTES} bytes"):
            read(path)


def test_what_a_runtime_allocates_is_bounded_and_the_bound_is_lifted_afterwards(tmp_path):
    path = tmp_path / "net"
    path.write_bytes(b"x")
    count = limits.MAX_MEMORY_BYTES // 8 * 2
    with (
        pytest.raises(DataError, match="needs more memory than Runtime gets"),
        reading(path, "Runtime"),
    ):
        np.zeros(count)
    assert len(np.zeros(count)) == count


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (MemoryError("std::bad_alloc"), "needs more memory"),
        (RuntimeError("Failed to allocate memory"), "needs more memory"),
        (RuntimeError("The model allocation is null"), r"can run \(The model allocation is null"),
        (KeyError("two\nlines"), r"can run \('two\\nlines'\)"),
        (ValueError(), r"can run \(ValueError\)"),
    ],
)
def test_whatever_a_reader_raises_becomes_one_line(reason, said, tmp_path):
    with pytest.raises(DataError, match=said) as error, reading(tmp_path / "net", "R"):
        raise reason
    assert "\n" not in str(error.value)
    ours = UsageError("as it is")
    with pytest.raises(UsageError, match=r"^as it is$"), reading(tmp_path / "net", "R"):
        raise ours


@pytest.mark.parametrize("key", ["offset", "length"])
@pytest.mark.parametrize("value", ["xx", "-7", "9" * 30, "1e3"])
def test_a_wrong_place_of_external_data_is_refused(key, value, onnx_net, tmp_path):
    path = tmp_path / "net.onnx"
    model = onnx.load(onnx_net("mobilenet"))
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match=r"net\.onnx") as error:
        open_onnx(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
def test_names_that_are_no_text_are_refused(name, tmp_path):
    path = save(tmp_path / "net.onnx", [helper.make_node("Relu", ["x"], ["y"], name="NAME")])
    for place in (b"NAME", b"Relu", b"\x01x"):
        whole = path.read_bytes()
        assert place in whole
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(whole.replace(place, place[:-1] + b"\xff", 1))
        with pytest.raises(DataError, match="not UTF-8"):
            get_target(name).trace(damaged)


def test_an_output_that_nothing_makes_is_refused(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "net.onnx", nodes, outputs=["z"])
    with pytest.raises(DataError, match="nothing makes its output 'z'"):
        open_onnx(path)


def test_a_stored_tensor_that_lacks_data_is_refused(tmp_path):
    tensor = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    tensor.dims[0] = 5
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    path = save(tmp_path / "net.onnx", nodes, stored=[tensor])
    with pytest.raises(DataError, match="tensor 'w' is damaged"):
        open_onnx(path)
    tensor.dims[0] = -1
    save(path, nodes, stored=[tensor])
    with pytest.raises(DataError, match="tensor 'w'"):
        open_onnx(path)


def two_headed(path):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Sigmoid", ["x"], ["z"])]
    return save(path, nodes, outputs=["y", "z"])


def test_a_second_output_is_never_dropped(images, tmp_path):
    path = two_headed(tmp_path / "net.onnx")
    assert len(get_target("tflite").trace(path).ops) == 2
    get_target("openvino").convert(path, tmp_path / "net.xml")
    for name, file in (("onnx", path), ("openvino", tmp_path / "net.xml")):
        assert {op.act for op in get_target(name).trace(file).specs} == {"relu", "sigmoid"}
        session = get_target(name).load(file)
        session.prepare(images(1, 4, 8, 8))
        session.invoke()
        with pytest.raises(DataError, match=r"one output .* it has 2 \(1x4x8x8 float32, 1x"):
            session.output()


def test_a_tflite_file_of_two_outputs_is_refused_by_name(tmp_path):
    from hwnat.targets.tflite.file import FileBuilder

    builder = FileBuilder()
    image = builder.tensor((1, 8, 8, 4), "input")
    heads = [builder.add(kind, [image], (1, 8, 8, 4), "NONE") for kind in ("RELU", "LOGISTIC")]
    path = tmp_path / "net.tflite"
    path.write_bytes(builder.finish([image], heads))
    session = get_target("tflite").load(path)
    with pytest.raises(DataError, match=r"it has 2 \(1x8x8x4 float32, 1x8x8x4 float32\)"):
        session.run(np.zeros((1, 4, 8, 8), np.float32))
    relu, sigmoid = session.outputs()
    assert (relu == 0).all()
    assert (sigmoid == 0.5).all()


def test_a_pipe_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "net.onnx")
    with pytest.raises(HwnatError, match="No ONNX file at"):
        get_target("onnx").trace(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("target", "method", "count"),
    [
        ("onnx", "trace", 40),
        ("openvino", "trace", 30),
        ("tflite", "trace", 40),
        pytest.param("tflite", "convert", 40, marks=pytest.mark.slow),
        pytest.param("torch-cuda", "load", 30, marks=pytest.mark.slow),
    ],
)
def test_damaged_copies_are_read_or_refused(target, method, count, onnx_net, tmp_path):
    file = onnx_net("mobilenet")
    if method != "convert" and target != "onnx":
        writer = TorchCudaTarget(device="cpu") if target == "torch-cuda" else get_target(target)
        writer.convert(file, tmp_path / f"net{writer.suffix}")
        file = tmp_path / f"net{writer.suffix}"
    argv = [sys.executable, str(_DAMAGED), str(file), target, method, str(count), "3"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=250, check=False)
    last = done.stderr.rpartition("reading ")[2].partition("\n")[0]
    assert done.returncode == 0, f"ended with {done.returncode} at copy {last}"
    refused = re.fullmatch(r"refused (\d+)\n", done.stdout)
    assert refused, done.stdout
    assert int(refused[1]) > 0
