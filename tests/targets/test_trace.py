"""What every target's trace promises: the same record, whoever executed the file."""

import numpy as np
import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO
from hwnat.targets.base import get_target
from hwnat.targets.modules.plain import network
from hwnat.targets.trace import Graph, Node, Trace, TracedOp

TARGETS = ("onnx", "openvino", "tflite")


def keys(trace):
    return [kernel.op.key for kernel in trace.ops]


@pytest.fixture(scope="module", params=TARGETS)
def target(request):
    return get_target(request.param)


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "inception"])
def test_every_kernel_of_a_well_known_network_has_a_key(target, name, onnx_net):
    trace = target.trace(onnx_net(name))
    assert not trace.unknown, [each.reason for each in trace.unknown]
    assert trace.target == target.name
    assert trace.batch == 1
    convolutions = [each for each in trace.specs if each.kind in ("conv", "dwconv")]
    assert len(convolutions) == {"resnet": 6, "mobilenet": 7, "inception": 7}[name]


def test_a_key_says_the_real_channels_and_the_real_work(target, onnx_net):
    found = keys(target.trace(onnx_net("inception")))
    act = "none" if target.name == "tflite" else "sigmoid"
    for key in (
        "conv|in=1x7x7x16|out=12|k=1|s=1|act=relu|float32",
        "conv|in=1x7x7x12|out=24|k=1|s=1|act=none|kw=5|float32",
        "pool|in=1x16x16x16|k=3|s=2|op=max|o=7x7|float32",
        f"conv|in=1x7x7x32|out=32|k=3|s=1|act={act}|d=2|float32",
        "gpool|in=1x7x7x32|op=avg|float32",
        "linear|in=1x1x1x32|out=10|float32",
    ):
        assert key in found
    assert any(key.startswith("concat|in=1x7x7x24|out=48|n=3") for key in found)
    assert any(key.startswith("conv|in=1x7x7x48|out=32|k=3|s=1") and "g=4" in key for key in found)


def test_every_node_of_the_file_is_accounted_for_once(target, onnx_net):
    import onnx

    path = onnx_net("mobilenet")
    trace = target.trace(path)
    named = [name for each in trace.ops for name in each.nodes]
    named += [each.node for each in trace.removed]
    nodes = [node for node in onnx.load(path).graph.node if node.op_type != "Constant"]
    nodes = [node for node in nodes if node.op_type != "Identity"]
    assert sorted(named) == sorted(node.name for node in nodes)


def test_norms_are_folded_and_activations_and_sums_fused_as_the_runtime_does(target, onnx_net):
    trace = target.trace(onnx_net("resnet"))
    fused = next(each for each in trace.ops if each.nodes and each.nodes[0] == "/4/two/Conv")
    if target.name == "tflite":
        assert fused.nodes == ("/4/two/Conv",)
        assert "add|in=1x8x8x16|act=relu|n=2|float32" in keys(trace)
    else:
        assert fused.nodes == ("/4/two/Conv", "/4/Add", "/4/last/Relu")
        assert fused.op.residual
        assert fused.op.act == "relu"
    assert not [key for key in keys(trace) if key.startswith("norm")]


def test_an_own_file_traces_like_the_onnx_file_it_is_made_of(target, randomised, tmp_path):
    rng = np.random.default_rng(3)
    genome = tuple(map(int, MBV3_NANO.sample(1, rng=rng)[0]))
    arch = Arch(space=MBV3_NANO, genome=genome)
    module = randomised(network(arch.ops(classes=10)))
    shape = (1, 3, arch.resolution, arch.resolution)
    own = target.export(module, shape, tmp_path / f"net{target.suffix}").path
    onnx = get_target("onnx").export(module, shape, tmp_path / "net.onnx").path
    one, two = target.trace(own), target.trace(onnx)
    assert not one.unknown
    assert sorted(keys(one)) == sorted(keys(two))


def test_a_transformer_is_traced(target, onnx_net):
    if target.name == "tflite":
        kinds = {op.kernel.split()[-1] for op in target.trace(onnx_net("transformer")).ops}
        assert {"BATCH_MATMUL", "SOFTMAX", "GELU", "RSQRT", "FULLY_CONNECTED"} <= kinds
        return
    trace = target.trace(onnx_net("transformer"))
    found = keys(trace)
    assert "norm|in=1x1x16x32|op=layer|float32" in found
    # OpenVINO lets one of them scale its output, too: a tail.
    assert sum(key.startswith("linear|in=1x1x16x32|out=32|") for key in found) == 4
    if target.name == "onnx":
        assert "softmax|in=1x2x16x16|float32" in found
        assert "matmul|in=1x2x16x16|out=16|float32" in found
        assert "act|in=1x1x16x64|act=gelu|float32" in found
    for each in trace.unknown:
        assert each.nodes
        assert "in one kernel" in each.reason


def _model(nodes, *, shape=(1, 4, 8, 8), extra=(), domain=""):
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image, *extra], [result])
    imports = [helper.make_opsetid("", 17)]
    imports += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _branch():
    from onnx import TensorProto, helper

    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "b", [], [result])
    test = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    return [
        helper.make_node("Constant", [], ["c"], value=test),
        helper.make_node("If", ["c"], ["y"], name="choose", then_branch=body, else_branch=body),
    ]


def _node(*args, **more):
    from onnx import helper

    return helper.make_node(*args, **more)


BAD = {
    "dynamic": (lambda: _model([_node("Relu", ["x"], ["y"])], shape=("N", 4, 8, 8)),
                r"input 'x' has the dynamic shape Nx4x8x8"),
    "no rank": (lambda: _model([_node("Relu", ["x"], ["y"])], shape=None), r"known rank"),
    "branch": (lambda: _model(_branch()), r"If at 'choose' \(control flow"),
    "unknown": (lambda: _model([_node("Relux", ["x"], ["y"], name="r")]),
                r"Relux at 'r' \(unknown in opset 17\)"),
    "custom": (lambda: _model([_node("Fast", ["x"], ["y"], name="f", domain="my")], domain="my"),
               r"Fast at 'f' \(custom domain 'my'\)"),
    "shapes": (lambda: _model([_node("Reshape", ["x", "s"], ["y"])]), r"'s'.* nothing makes"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_model_of_unfixed_work_is_refused_with_its_place(target, bad, tmp_path):
    import onnx

    build, said = BAD[bad]
    path = tmp_path / "net.onnx"
    path.write_bytes(build().SerializeToString())
    with pytest.raises((DataError, UsageError), match=said) as error:
        target.trace(path)
    assert "\n" not in str(error.value)
    assert onnx.load(path).graph.node


def test_what_is_no_model_or_lacks_its_data_is_refused(target, onnx_net, tmp_path):
    import onnx

    path = tmp_path / "net.onnx"
    with pytest.raises(DataError, match="No ONNX file at"):
        target.trace(path)
    whole = onnx_net("mobilenet").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], b"\0" * 4096):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"net\.onnx") as error:
            target.trace(path)
        assert "\n" not in str(error.value)
    onnx.save(onnx.load(onnx_net("mobilenet")), path, save_as_external_data=True, location="w.bin")
    assert target.trace(path).ops
    (tmp_path / "w.bin").unlink()
    with pytest.raises(DataError, match="external data"):
        target.trace(path)


def test_nodes_without_names_get_some(target, onnx_net, tmp_path):
    import onnx

    model = onnx.load(onnx_net("resnet"))
    for node in model.graph.node:
        node.name = ""
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    trace = target.trace(path)
    assert keys(trace) == keys(target.trace(onnx_net("resnet")))
    assert any(each.place.startswith("Conv#0") for each in trace.ops)


def test_dead_nodes_and_identities_cost_nothing(target, tmp_path):
    import onnx
    from onnx import numpy_helper

    weight = np.ones((8, 4, 3, 3), np.float32)
    nodes = [
        _node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        _node("Identity", ["a"], ["b"], name="same"),
        _node("Dropout", ["b"], ["c"], name="drop"),
        _node("Sigmoid", ["a"], ["d"], name="dead"),
        _node("Relu", ["c"], ["y"], name="act"),
    ]
    model = _model(nodes)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    trace = target.trace(path)
    found = [key for key in keys(trace) if "move" not in key]
    why = {each.node: each.why for each in trace.removed}
    if target.name == "onnx":  # it really computes what nobody reads
        assert "act|in=1x8x8x8|act=sigmoid|float32" in found
        assert why.keys() == {"same", "drop"}
        return
    assert found == ["conv|in=1x8x8x4|out=8|k=3|s=1|act=relu|float32"]
    assert why == {
        "same": "does nothing when the network runs",
        "drop": "does nothing when the network runs",
        "dead": "nothing reads its output",
    }


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_several_inputs_of_fixed_shape_are_traced(name, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    second = helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 4, 8, 8))
    path = tmp_path / "net.onnx"
    onnx.save(_model([_node("Add", ["x", "z"], ["y"], name="sum")], extra=[second]), path)
    assert "add|in=1x8x8x4|act=none|n=2|float32" in keys(get_target(name).trace(path))
    assert [op.kernel.split()[-1] for op in get_target("tflite").trace(path).ops] == ["ADD"]


def test_only_an_opaque_operation_has_a_reason():
    spec = OpSpec(kind="linear", in_shape=(1, 1, 1, 4), out_channels=2)
    with pytest.raises(DataError, match="a reason belongs to an opaque operation only"):
        TracedOp(op=spec, reason="none", nodes=(), kernel="k")
    opaque = OpSpec.from_key("opaque|in=1x1x1x4|f=Einsum.0123456789abcdef|float32")
    with pytest.raises(DataError, match="a reason belongs to an opaque operation only"):
        TracedOp(op=opaque, nodes=(), kernel="k")
    with pytest.raises(DataError, match="no operator that some 1 would"):
        Trace(target="t", runtime="some 1", batch=1, ops=(), removed=())


def test_a_group_takes_in_what_only_it_reads():
    nodes = [
        Node(name="conv", kind="Conv", inputs=("x", "w"), outputs=("a",)),
        Node(name="norm", kind="BatchNormalization", inputs=("a", "s"), outputs=("b",)),
        Node(name="act", kind="Relu", inputs=("b",), outputs=("c",)),
        Node(name="two", kind="Conv", inputs=("c", "v"), outputs=("d",)),
        Node(name="both", kind="Add", inputs=("c", "d"), outputs=("y",)),
    ]
    graph = Graph(nodes, results=("y",), constants=("w", "s", "v"))
    found = graph.group({0: ["act"], 1: ["two", "both"]})
    assert found == {0: ("conv", "norm", "act"), 1: ("two", "both")}
    # `act` is read by two kernels, so it is no part of either.
    assert graph.group({0: ["conv"], 1: ["two"], 2: ["both"]})[0] == ("conv",)
