"""Programs on devices run models of any inputs and outputs, in the order of the file."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwnat.device.runners import agent_program
from hwnat.device.runners.result import read_result
from hwnat.targets.base import get_target
from hwnat.targets.inputs import random_feed


def tflite(path):
    """Write a model whose signature lists tensors in another order than its graph."""
    from ai_edge_litert import schema_py_generated as schema

    from hwnat.targets.tflite.file import FileBuilder, packed
    from hwnat.targets.tflite.plan import read_model

    builder = FileBuilder()
    image = builder.tensor((1, 3, 2, 1), "z_image")
    other = builder.tensor((1, 3, 2, 1), "m_other")
    numbers = builder.tensor((5,), "a_numbers", dtype="int32")
    total = builder.add("ADD", [image, other], (1, 3, 2, 1), "AddOptions")
    square = builder.add("MUL", [numbers, numbers], (5,), "MulOptions")
    path.write_bytes(builder.finish([image, numbers, other], [total, square]))
    model = read_model(path)
    graph = model.subgraphs[0]
    graph.tensors[square].type = schema.TensorType.INT32

    def named(indices):
        pairs = []
        for index in reversed(indices):
            pair = schema.TensorMapT()
            pair.name, pair.tensorIndex = graph.tensors[index].name, index
            pairs.append(pair)
        return pairs

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"main", 0
    signature.inputs, signature.outputs = named(graph.inputs), named(graph.outputs)
    model.signatureDefs = [signature]
    path.write_bytes(packed(model))
    return path


def onnx_file(path):
    nodes = [
        helper.make_node("Add", ["x", "z"], ["sum"]),
        helper.make_node("NonZero", ["mask"], ["where"]),
        helper.make_node("Cast", ["half"], ["y"], to=TensorProto.DOUBLE),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, [2, 4]),
            helper.make_tensor_value_info("half", TensorProto.FLOAT16, []),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("where", TensorProto.INT64, [2, None]),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("y", TensorProto.DOUBLE, []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def agent(*words):
    return [sys.executable, agent_program.__file__, *map(str, words)]


def run(argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def check(program, target, path, folder):
    """Compare the raw outputs with those of this process, and time the model with itself."""
    session = get_target(target).load(path)
    feed = random_feed(session.signature, np.random.default_rng(0))
    session.bind(feed)
    session.invoke()
    wanted = b"".join(y.tobytes() for y in session.outputs())
    given = b"".join(x.tobytes() for x in feed)
    (folder / "in").write_bytes(given)
    files = ("--model", path, "--in", folder / "in", "--out", folder / "out", "--threads", 1)
    done = run(program("answer", *files))
    assert done.returncode == 0, done.stderr
    assert (folder / "out").read_bytes() == wanted
    for wrong in (given[:-1], given + b"0"):
        (folder / "in").write_bytes(wrong)
        done = subprocess.run(
            program("answer", *files), capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert f"the inputs of {path} are {len(given)} bytes" in done.stderr
    words = ("--model", path, "--reference", path, "--threads", 1, "--runs", 3, "--warmup", 1)
    argv = program("time", *words, "--visit-ms", 0)
    done = run(argv)
    assert done.returncode == 0, done.stderr
    timed, _, _ = read_result(done.stdout, where="here")
    assert timed.samples_ns
    assert timed.reference_ns


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_the_agent_takes_any_inputs(target, tmp_path):
    path = onnx_file(tmp_path / "net.onnx") if target != "tflite" else tflite(tmp_path / "n.tflite")
    if target == "openvino":
        get_target(target).convert(path, tmp_path / "net.xml")
        path = tmp_path / "net.xml"
    check(agent, target, path, tmp_path)


def test_the_c_program_takes_any_inputs(litert_tools, tmp_path):
    def program(*words):
        return [str(litert_tools / "hwnat-run"), *map(str, words)]

    check(program, "tflite", tflite(tmp_path / "net.tflite"), tmp_path)


def test_the_older_c_library_takes_any_inputs(litert_tools, older_runtimes, tmp_path):
    library = older_runtimes / "pymicro_wakeword/lib/libtensorflowlite_c.so"

    def program(*words):
        return [str(litert_tools / "hwnat-run"), *map(str, words), "--library", str(library)]

    check(program, "tflite", tflite(tmp_path / "net.tflite"), tmp_path)


@pytest.mark.parametrize("dtype", sorted(agent_program.DRAWN))
def test_the_agent_draws_every_type(dtype):
    class Model:
        inputs = ((dtype, (400,)), (dtype, ()))

    many, one = agent_program.noise(Model)
    assert (many.dtype, many.shape, one.dtype, one.shape) == (dtype, (400,), dtype, ())
    if dtype not in ("int8", "uint8") and not dtype.startswith("float"):
        assert set(many.tolist()) == {0, 1}
