"""Files of torch.export: what is read of them, and what is not let through."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from hwnat.errors import DataError, UsageError
from hwnat.targets.cuda.torch import TorchCudaTarget, TorchSession
from hwnat.targets.cuda.torch_file import read_program, write_program
from hwnat.targets.cuda.torch_graph import _OPERATORS
from hwnat.targets.onnx.target import write_onnx

SHAPE = (2, 3, 8, 8)
MODEL = "archive/models/model.json"
WEIGHTS = "archive/data/weights/model_weights_config.json"
EXAMPLES = "archive/data/sample_inputs/model.pt"


class Harm:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def net(randomised):
    layers = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()
    return randomised(nn.Sequential(*layers)).eval()


@pytest.fixture
def path(net, tmp_path):
    write_program(net, SHAPE, tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


def parts(path):
    with zipfile.ZipFile(path) as archive:
        return {each: archive.read(each) for each in archive.namelist()}


def put(path, held):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def test_a_file_computes_what_the_module_does(net, path, images):
    session = TorchSession(path)
    assert session.input_shape == SHAPE
    with torch.inference_mode():
        expected = net(torch.from_numpy(images(*SHAPE))).numpy()
    np.testing.assert_array_equal(session.run(images(*SHAPE)), expected)


def test_an_onnx_file_becomes_one(net, path, images, tmp_path):
    write_onnx(net, SHAPE, tmp_path / "net.onnx")
    TorchCudaTarget().convert(tmp_path / "net.onnx", tmp_path / "other.pt2")
    other = TorchSession(tmp_path / "other.pt2").run(images(*SHAPE))
    np.testing.assert_allclose(other, TorchSession(path).run(images(*SHAPE)), rtol=1e-4, atol=1e-5)


def test_nothing_of_the_machine_that_wrote_it_is_in_a_file(path):
    text = b"".join(parts(path).values())
    assert b"stack_trace" not in text
    assert b"site-packages" not in text


def test_examples_in_a_file_are_never_unpickled(path, tmp_path, images):
    held = parts(path)
    before = TorchSession(path).run(images(*SHAPE))
    buffer = io.BytesIO()
    torch.save(Harm(tmp_path / "harmed"), buffer)
    put(path, {**held, EXAMPLES: buffer.getvalue()})
    np.testing.assert_array_equal(TorchSession(path).run(images(*SHAPE)), before)
    assert not (tmp_path / "harmed").exists()


def test_a_tensor_that_is_a_pickle_is_refused(path, tmp_path):
    held = parts(path)
    config = json.loads(held[WEIGHTS])
    each = config["config"]["0.weight"]
    each["use_pickle"] = True
    buffer = io.BytesIO()
    torch.save(Harm(tmp_path / "harmed"), buffer)
    name = f"archive/data/weights/{each['path_name']}"
    put(path, {**held, WEIGHTS: json.dumps(config), name: buffer.getvalue()})
    with pytest.raises(DataError, match=r"net\.pt2 .*as a pickle"):
        read_program(path)
    assert not (tmp_path / "harmed").exists()


def test_an_expression_for_a_shape_is_refused(path, tmp_path):
    held = parts(path)
    model = json.loads(held[MODEL])
    values = model["graph_module"]["graph"]["tensor_values"]
    harm = f"open({str(tmp_path / 'harmed')!r}, 'w')"
    values["conv2d"]["sizes"][0] = {"as_expr": {"expr_str": harm, "hint": {"as_int": 2}}}
    put(path, {**held, MODEL: json.dumps(model)})
    with pytest.raises(DataError, match="not fixed, but an expression"):
        read_program(path)
    assert not (tmp_path / "harmed").exists()


def test_an_operator_that_opens_a_file_is_refused(path, tmp_path):
    held, harmed = parts(path), tmp_path / "harmed"
    model = json.loads(held[MODEL])
    nodes = model["graph_module"]["graph"]["nodes"]
    given = {
        "filename": {"as_string": str(harmed)},
        "shared": {"as_bool": True},
        "size": {"as_int": 32},
    }
    nodes[-1]["target"] = "torch.ops.aten.from_file.default"
    nodes[-1]["inputs"] = [{"name": k, "arg": v, "kind": 1} for k, v in given.items()]
    put(path, {**held, MODEL: json.dumps(model)})
    with pytest.raises(DataError, match=r"net\.pt2 .*'torch\.ops\.aten\.from_file\.default'"):
        read_program(path)
    assert not harmed.exists()


@pytest.mark.parametrize(
    "argument",
    [{"as_string": "/etc/passwd"}, {"as_graph": {"name": "x", "graph": {"nodes": []}}}],
)
def test_an_argument_that_is_no_number_is_refused(path, argument):
    held = parts(path)
    model = json.loads(held[MODEL])
    model["graph_module"]["graph"]["nodes"][-1]["inputs"][0]["arg"] = argument
    put(path, {**held, MODEL: json.dumps(model)})
    with pytest.raises(DataError, match=rf"gives torch\.ops\.aten\.relu.* {next(iter(argument))}"):
        read_program(path)


@pytest.mark.parametrize("where", ["name", "argument", "parameter", "tree"])
def test_a_name_that_is_python_is_refused(path, tmp_path, where):
    held = parts(path)
    harm = f"input=open({str(tmp_path / 'harmed')!r}, 'w')"
    model = json.loads(held[MODEL])
    graph = model["graph_module"]
    called = graph["module_call_graph"][0]["signature"]
    if where == "name":
        graph["graph"]["nodes"][0]["inputs"][0]["name"] = harm
    elif where == "argument":
        called["forward_arg_names"] = [harm]
    elif where == "parameter":
        graph["signature"]["input_specs"][0]["parameter"]["parameter_name"] = harm
    else:
        called["in_spec"] = called["in_spec"].replace('"[]"', json.dumps(json.dumps([harm])))
    put(path, {**held, MODEL: json.dumps(model)})
    with pytest.raises(DataError, match="for a name"):
        read_program(path)
    assert not (tmp_path / "harmed").exists()


def test_an_operator_that_would_not_be_read_is_not_written(tmp_path):
    class Sorted(nn.Module):
        def forward(self, x):
            return x.sort(dim=1)[0]

    with pytest.raises(UsageError, match=r"net\.pt2: .*aten\.sort\.default"):
        write_program(Sorted().eval(), SHAPE, tmp_path / "net.pt2")


@pytest.mark.parametrize(
    "name", ["archive/data/constants/custom_obj_0", "archive/extra/x", "archive/../x", "version"]
)
def test_parts_of_any_other_kind_are_refused(path, tmp_path, name):
    buffer = io.BytesIO()
    torch.save(Harm(tmp_path / "harmed"), buffer)
    put(path, {**parts(path), name: buffer.getvalue()})
    with pytest.raises(DataError, match="neither tensor nor graph"):
        read_program(path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, "archive/data/weights/weight_0"])
def test_a_part_that_is_missing_or_garbage_is_refused(path, name):
    held = parts(path)
    for content in (None, b"", b"garbage", b"{}", b"[1]", held[name][:-1]):
        changed = {**held, name: content} if content is not None else dict(held)
        if content is None:
            del changed[name]
        put(path, changed)
        with pytest.raises(DataError, match="export it again") as error:
            read_program(path)
        assert "\n" not in str(error.value)


def test_a_module_that_does_not_take_the_shape_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"No \.pt2 file net\.pt2 for input"):
        write_program(nn.Conv2d(4, 4, 1).eval(), SHAPE, tmp_path / "net.pt2")


def test_a_program_with_two_inputs_runs_but_not_on_images(tmp_path):
    class Sum(nn.Module):
        def forward(self, x, y):
            return x + y

    program = torch.export.export(Sum(), (torch.zeros(SHAPE), torch.zeros(SHAPE)), strict=False)
    torch.export.save(program, tmp_path / "net.pt2")
    session = TorchSession(tmp_path / "net.pt2")
    session.bind([np.full(SHAPE, x, np.float32) for x in (3, 4)])
    session.invoke()
    assert (session.outputs()[0] == 7).all()
    with pytest.raises(DataError, match="one 4-D float32 input"):
        session.run(np.zeros(SHAPE, np.float32))


def test_every_operator_that_is_let_through_is_one_of_pytorch():
    for name in _OPERATORS:
        space, operator, overload = name.split(".")
        assert hasattr(getattr(getattr(torch.ops, space), operator), overload), name
