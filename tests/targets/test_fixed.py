"""Copies with fixed shapes run and trace like files that were exported with these shapes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnat.errors import DataError, UsageError
from hwnat.targets.base import get_target
from hwnat.targets.fixed import fixed_copies
from hwnat.targets.inputs import parse_shapes, random_feed


def dynamic(path, *, external=False):
    """Write a network of an image and a mask, whose sizes have names or none."""
    weight = np.random.default_rng(0).standard_normal((256, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Where", ["mask", "r", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", None]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, ["N", 1, 1, 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 256, "H", "W"])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32(0), "zero")],
        value_info=[helper.make_tensor_value_info("r", TensorProto.FLOAT, ["N", 256, "H", "W"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path, save_as_external_data=external, location="w.data", size_threshold=0)
    return path


SHAPES = {"x": (2, 3, 12, 20)}


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_an_onnx_file_is_fixed_and_a_named_size_holds_for_every_input(name, external, tmp_path):
    target = get_target(name)
    path = dynamic(tmp_path / "net.onnx", external=external)
    (copy,) = fixed_copies(target, [path], SHAPES, tmp_path / "fixed")
    assert fixed_copies(target, [path], SHAPES, tmp_path / "fixed") == [copy]
    other = fixed_copies(target, [path], {"x": (1, 3, 8, 8)}, tmp_path / "fixed")
    assert other != [copy]
    assert fixed_copies(target, [path], {}, tmp_path / "fixed") == [path]
    trace = target.trace(copy)
    assert trace.batch == 2
    assert any(op.in_shape == (2, 12, 20, 3) for op in trace.specs)
    if name != "onnx":
        target.convert(copy, tmp_path / f"net{target.suffix}")
        copy = tmp_path / f"net{target.suffix}"
    session = target.load(copy)
    assert [spec.shape for spec in session.signature] == [(2, 3, 12, 20), (2, 1, 1, 1)]
    session.bind(random_feed(session.signature, np.random.default_rng(0)))
    session.invoke()
    assert session.outputs()[0].shape == (2, 256, 12, 20)


def test_sizes_without_a_proper_name_are_independent(tmp_path):
    path = dynamic(tmp_path / "net.onnx")
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if not dim.dim_value:
                dim.dim_param = "?"
    onnx.save(model, path)
    shapes = SHAPES | {"mask": (2, 1, 1, 1)}
    (copy,) = fixed_copies(get_target("onnx"), [path], shapes, tmp_path / "fixed")
    assert get_target("onnx").trace(copy).batch == 2


def test_an_ir_file_is_reshaped(tmp_path):
    import openvino as ov

    path = dynamic(tmp_path / "net.onnx")
    ov.save_model(ov.Core().read_model(path), tmp_path / "net.xml")
    target = get_target("openvino")
    with pytest.raises(DataError, match="--shape x=1x3x224x224 --shape mask=1x1x1x1"):
        target.load(tmp_path / "net.xml")
    shapes = SHAPES | {"mask": (2, 1, 1, 1)}
    (copy,) = fixed_copies(target, [tmp_path / "net.xml"], shapes, tmp_path / "fixed")
    session = target.load(copy)
    session.bind(random_feed(session.signature, np.random.default_rng(0)))
    session.invoke()
    assert session.outputs()[0].shape == (2, 256, 12, 20)
    assert target.trace(copy).batch == 2


def tflite(path):
    """Write a network of one image whose batch, height and width are not fixed."""
    from hwnat.targets.tflite.file import FileBuilder, packed
    from hwnat.targets.tflite.plan import read_model

    builder = FileBuilder()
    image = builder.tensor((1, 4, 4, 3), "image")
    relu = builder.add("RELU", [image], (1, 4, 4, 3), "NONE")
    path.write_bytes(builder.finish([image], [builder.add("TANH", [relu], (1, 4, 4, 3), "NONE")]))
    model = read_model(path)
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = [-1, -1, -1, 3]
    path.write_bytes(packed(model))
    return path


def test_a_tflite_file_is_resized_with_all_of_its_tensors(tmp_path):
    target, path = get_target("tflite"), tflite(tmp_path / "net.tflite")
    for use in (target.load, target.trace):
        with pytest.raises(DataError, match=r"shape \?x\?x\?x3; .*--shape image=1x3x224x3"):
            use(path)
    (copy,) = fixed_copies(target, [path], parse_shapes(["2x8x6x3"]), tmp_path / "fixed")
    assert {op.in_shape for op in target.trace(copy).specs} == {(2, 8, 6, 3)}
    session = target.load(copy)
    assert session.input_shape == (2, 3, 8, 6)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 6)).astype(np.float32)
    np.testing.assert_allclose(session.run(x), np.tanh(np.maximum(x, 0)), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["z=1x3x8x8"], r"no input 'z'; its inputs are x, mask\. .*--shape x=1x3x8x8"),
        (["1x3x8x8"], r"several inputs; its inputs are x, mask"),
        (["x=1x3x8"], r"x=1x3x8 has 3 sizes, but the input has 4: Nx3xHx\?"),
        (["x=1x3x8x8", "mask=2x1x1x1"], r"size N .* cannot be both 1 and 2"),
    ],
)
def test_wrong_names_and_ranks_are_refused_in_one_line(words, said, tmp_path):
    path = dynamic(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match=said) as error:
        fixed_copies(get_target("onnx"), [path], parse_shapes(words), tmp_path / "fixed")
    assert "\n" not in str(error.value)
    assert not [file for file in tmp_path.glob("fixed/**/*") if file.is_file()]


def test_what_stays_dynamic_is_named_with_its_option(tmp_path):
    path = dynamic(tmp_path / "net.onnx")
    with pytest.raises(DataError, match=r"input 'x' has .* 2x3xHx\?.* --shape x=2x3x224x224$"):
        fixed_copies(get_target("onnx"), [path], {"mask": (2, 1, 1, 1)}, tmp_path / "fixed")


@pytest.mark.parametrize(
    "word", ["x", "x=", "x=1x", "x=1x0x3", "x=-1x3", "x=1,3", "x=1x9999999999"]
)
def test_words_that_are_no_shapes_are_refused(word):
    with pytest.raises(UsageError, match="is not a shape"):
        parse_shapes([word])


def test_shapes_are_read_by_name():
    assert parse_shapes(["a=1X3", "b:0=7", "2x2"]) == {"a": (1, 3), "b:0": (7,), "": (2, 2)}
    with pytest.raises(UsageError, match="two shapes for input 'a'"):
        parse_shapes(["a=1", "a=2"])


def test_a_file_with_its_weights_beside_it_is_traced_timed_and_cut(tmp_path):
    path = dynamic(tmp_path / "net.onnx", external=True)
    (copy,) = fixed_copies(get_target("onnx"), [path], SHAPES, tmp_path / "fixed")
    target = get_target("onnx")
    conv = next(op for op in target.trace(copy).ops if op.op is not None and op.op.kind == "conv")
    target.cut(copy, conv.nodes, tmp_path / "pieces" / "piece.onnx", ancestors=False)
    whole = onnx.load(tmp_path / "pieces" / "piece.onnx")
    assert any(tensor.name == "w" for tensor in whole.graph.initializer)
    (copy.parent / "w.data").unlink()
    with pytest.raises(DataError, match="put the data file beside it"):
        target.trace(copy)


def test_buffers_behind_a_tflite_file_are_read(tmp_path):
    from hwnat.targets.tflite.file import FileBuilder, packed
    from hwnat.targets.tflite.plan import read_model

    builder, path = FileBuilder(), tmp_path / "net.tflite"
    image = builder.tensor((1, 4, 4, 3), "image")
    values = np.arange(3, dtype=np.float32)
    total = builder.add("ADD", [image, builder.constant(values)], (1, 4, 4, 3), "AddOptions")
    path.write_bytes(builder.finish([image], [total]))
    inline = get_target("tflite").trace(path)
    model = read_model(path)
    (buffer,) = [b for b in model.buffers if b.data is not None]
    buffer.data, buffer.size, buffer.offset = None, values.nbytes, 1 << 20
    content = packed(model)
    buffer.offset = -(-len(content) // 64) * 64
    content = packed(model)
    path.write_bytes(content.ljust(buffer.offset, b"\0") + values.tobytes())
    assert [op.op for op in get_target("tflite").trace(path).ops] == [op.op for op in inline.ops]
    stored = [b.data for b in read_model(path).buffers if b.data is not None]
    assert [bytes(data) for data in stored] == [values.tobytes()]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"net\.tflite"):
        read_model(path)


def test_shapes_that_the_file_computes_through_casts_and_slices_are_known(tmp_path):
    """Exporters of PaddlePaddle compute the shape for Reshape like this, twice in a row."""
    stored = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "rest": np.array([-1]),
        "w": np.ones((24, 5), np.float32),
    }
    nodes = []
    for step, (value, made) in enumerate((("x", "a"), ("a", "b"))):
        names = [f"{name}{step}" for name in ("shape", "narrow", "batch", "wide", "wanted")]
        shape, narrow, batch, wide, wanted = names
        nodes += [
            helper.make_node("Shape", [value], [shape]),
            helper.make_node("Cast", [shape], [narrow], to=TensorProto.INT32),
            helper.make_node("Slice", [narrow, "zero", "one", "zero"], [batch]),
            helper.make_node("Cast", [batch], [wide], to=TensorProto.INT64),
            helper.make_node("Concat", [wide, "rest"], [wanted], axis=0),
            helper.make_node("Reshape", [value, wanted], [made]),
        ]
    nodes.append(helper.make_node("MatMul", ["b", "w"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    onnx.save(model, tmp_path / "net.onnx")
    target = get_target("tflite")
    (copy,) = fixed_copies(target, [tmp_path / "net.onnx"], {"x": (2, 6, 2, 2)}, tmp_path)
    (linear,) = target.trace(copy).specs
    assert linear.key == "linear|in=2x1x1x24|out=5|float32"
