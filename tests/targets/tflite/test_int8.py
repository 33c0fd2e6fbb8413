"""What INT8 files compute beside the float module that they were made of."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnat.errors import DataError, UsageError
from hwnat.export.parity import check_parity
from hwnat.records.op import OpSpec
from hwnat.targets.base import Quantising, Target, get_target
from hwnat.targets.modules.plain import input_shape, network, op_module
from hwnat.targets.onnx.target import OnnxTarget
from hwnat.targets.tflite.int8 import write_int8
from hwnat.targets.tflite.target import TfliteTarget

FASHION = Path("/usr/share/datasets/fashion-mnist")
#: Of the output's range; the blocks below differ by 0.007 to 0.020.
BLOCK_LIMIT = 0.03
BLOCKS = (
    OpSpec(kind="conv", in_shape=(1, 28, 28, 3), out_channels=16, kernel=3, stride=2, act="hswish"),
    OpSpec(kind="convpool", in_shape=(1, 7, 7, 16), out_channels=24, act="hswish"),
    OpSpec(kind="mix", in_shape=(2, 1, 1, 24), out_channels=32, act="hswish"),
    OpSpec(kind="linear", in_shape=(1, 1, 1, 32), out_channels=10),
    *(
        OpSpec(
            kind="mbconv", in_shape=(1, 14, 14, 16), out_channels=16, mid_channels=48,
            kernel=kernel, act=act, se_channels=squeezed, stride=stride, residual=stride == 1,
        )
        for kernel, act, squeezed, stride in (
            (3, "relu", 0, 1), (5, "relu", 8, 2), (7, "relu", 8, 1),
            (3, "hswish", 16, 1), (5, "hswish", 0, 2), (7, "hswish", 16, 2),
        )
    ),
)  # fmt: skip


def kinds(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return [op["op_name"] for op in interpreter._get_ops_details()], interpreter


@pytest.mark.parametrize("native", [False, True], ids=["product", "native"])
@pytest.mark.parametrize("op", BLOCKS, ids=lambda op: op.key)
def test_a_block_stays_near_its_float_module(op, native, randomised, images, tmp_path):
    module, shape = randomised(op_module(op)).eval(), input_shape(op)
    path, x = tmp_path / "net.tflite", images(16, *shape[1:])
    write_int8(module, shape, path, calibration=x, native_hswish=native)
    parity = check_parity(module, TfliteTarget().load(path), x)
    assert parity.relative < BLOCK_LIMIT


def test_inputs_outputs_and_all_between_are_integers(randomised, images, tmp_path):
    net, x = randomised(network(BLOCKS[4:5])), images(8, 16, 14, 14)
    path = tmp_path / "net.tflite"
    write_int8(net.eval(), (1, 16, 14, 14), path, calibration=x)
    names, interpreter = kinds(path)
    assert names.count("DELEGATE") == 1
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(names)
    types = {np.dtype(each["dtype"]) for each in interpreter.get_tensor_details()}
    assert types == {np.dtype(np.int8), np.dtype(np.int32)}


def test_weights_have_a_symmetric_scale_for_each_channel(tmp_path):
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 3, groups=3))
    for layer in module:
        with torch.no_grad():
            layer.weight *= torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1, 1)
    path = tmp_path / "net.tflite"
    write_int8(module.eval(), (1, 2, 5, 5), path)
    found = {}
    for each in kinds(path)[1].get_tensor_details():
        said = each["quantization_parameters"]
        if len(said["scales"]) == 3:
            found[tuple(each["shape"]), np.dtype(each["dtype"]).name] = said
    for layer, shape, axis in zip(module, ((3, 1, 1, 2), (1, 3, 3, 3)), (0, 3), strict=True):
        said = found[shape, "int8"]
        largest = layer.weight.detach().abs().amax(dim=(1, 2, 3)).numpy()
        np.testing.assert_allclose(said["scales"], largest / 127, rtol=1e-6)
        assert said["quantized_dimension"] == axis
        assert not said["zero_points"].any()
    assert ((3,), "int32") in found


def test_a_channel_of_tiny_weights_keeps_its_bias(images, tmp_path):
    conv = nn.Conv2d(2, 2, 1)
    with torch.no_grad():
        conv.weight[0] = 1e-12
        conv.bias[:] = torch.tensor([3.0, -1.0])
    path, x = tmp_path / "net.tflite", images(4, 2, 3, 3)
    write_int8(nn.Sequential(conv).eval(), (1, 2, 3, 3), path, calibration=x)
    assert check_parity(nn.Sequential(conv), TfliteTarget().load(path), x).relative < 0.01


def test_a_hard_swish_is_a_product_for_cpus_and_native_for_ethos_u(randomised, tmp_path):
    net = randomised(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardswish(), nn.Conv2d(4, 4, 1))).eval()
    for native, expected in ((False, ["ADD", "MUL"]), (True, ["HARD_SWISH"])):
        path = tmp_path / "net.tflite"
        write_int8(net, (1, 3, 4, 4), path, native_hswish=native)
        assert [n for n in kinds(path)[0] if n != "DELEGATE"] == ["CONV_2D", *expected, "CONV_2D"]


class Shared(nn.Module):
    """A hard swish that a convolution and a sum read."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.second = nn.Conv2d(3, 3, 1), nn.Hardswish(), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        y = self.act(self.first(x))
        return y + self.second(y)


@pytest.mark.parametrize(
    "module",
    [
        Shared(),
        nn.Sequential(nn.Hardswish()),
        nn.Sequential(nn.Hardsigmoid()),
        nn.Sequential(nn.Hardswish(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Hardswish(), nn.ReLU6()),
        nn.Sequential(nn.SiLU(), nn.Conv2d(3, 2, 3, padding=2, dilation=2)),
        nn.Sequential(nn.AvgPool2d(2), nn.ReLU()),
        nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2)),
    ],
    ids=str,
)
def test_factors_end_before_what_is_not_linear(module, images, tmp_path):
    path, x = tmp_path / "net.tflite", 3 * images(16, 3, 6, 6)
    write_int8(module.eval(), (1, 3, 6, 6), path, calibration=x)
    assert check_parity(module, TfliteTarget().load(path), x).relative < 0.02


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (nn.Sequential(nn.Mish()), r"No INT8 form: SUB \(of Mish at '0'\)"),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.Softmax(1)), r"SOFTMAX \(of Softmax at '1'\)"),
        (nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), r"grouped CONV_2D \(of Conv2d at '0'\)"),
        (nn.Sequential(nn.SELU()), r"SELU at '0"),
    ],
)
def test_what_cannot_be_quantised_is_refused_by_name(module, named, tmp_path):
    with pytest.raises(UsageError, match=named):
        TfliteTarget().quantised().export(module, (1, 4, 6, 6), tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((3, 4, 6, 6), np.float32), "n a multiple of 2"),
        (np.zeros((0, 4, 6, 6), np.float32), "Calibration inputs are"),
        (np.zeros((2, 4, 6, 5), np.float32), "float32 \\(n, 4, 6, 6\\)"),
        (np.zeros((2, 4, 6, 6)), "float64"),
        (np.full((2, 4, 6, 6), np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_calibration_inputs_must_suit_the_module(inputs, message, tmp_path):
    target = TfliteTarget().quantised(inputs)
    with pytest.raises(DataError, match=message):
        target.export(nn.Sequential(nn.Conv2d(4, 4, 1)), (2, 4, 6, 6), tmp_path / "net.tflite")


def test_a_module_that_overflows_has_no_scales(tmp_path):
    conv = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        conv.weight[:] = 3e38
    x = np.full((1, 1, 2, 2), 9, np.float32)
    with pytest.raises(DataError, match="NaN or infinity on its calibration"):
        TfliteTarget().quantised(x).export(nn.Sequential(conv), x.shape, tmp_path / "net.tflite")


def test_equal_modules_give_equal_bytes_and_stay_as_they_were(randomised, tmp_path):
    digests = set()
    for name in "ab":
        module = randomised(op_module(BLOCKS[-1]))
        before = {key: value.clone() for key, value in module.state_dict().items()}
        artifact = (
            TfliteTarget()
            .quantised()
            .export(module, input_shape(BLOCKS[-1]), tmp_path / f"{name}.tflite")
        )
        assert artifact.precision == "int8"
        digests.add(hashlib.sha256(artifact.path.read_bytes()).hexdigest())
        after = module.state_dict()
        assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert len(digests) == 1


def test_a_target_is_asked_for_by_precision():
    target = get_target("tflite", precision="int8")
    assert isinstance(target, Target)
    assert isinstance(target, Quantising)
    assert target.precision == "int8"
    assert get_target("tflite").precision == "fp32"
    with pytest.raises(UsageError, match=r"onnx writes fp32 files, not int8; .*host-tflite-int8"):
        get_target("onnx", precision="int8")


def test_operators_are_traced_in_fp32_only(tmp_path):
    with pytest.raises(UsageError, match="traced and timed in fp32 only"):
        TfliteTarget().quantised().trace(tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["tflite", "ethosu"])
def test_an_onnx_file_is_converted_to_integers(name, randomised, images, tmp_path):
    module, x = randomised(network(BLOCKS[:1])).eval(), images(8, 3, 28, 28)
    OnnxTarget().export(module, (1, 3, 28, 28), tmp_path / "net.onnx")
    target = get_target(name, precision="int8").quantised(x)
    target.convert(tmp_path / "net.onnx", tmp_path / "net.tflite")
    parity = check_parity(module, target.load(tmp_path / "net.tflite"), x)
    assert 1e-4 < parity.relative < BLOCK_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("native", [False, True], ids=["product", "native"])
def test_a_trained_network_keeps_its_classes(native, tmp_path):
    from hwnat.data.readers import load_dataset
    from hwnat.records.arch import Arch
    from hwnat.records.space import MBV3_NANO
    from hwnat.supernet.accuracy import Evaluator
    from hwnat.supernet.inputs import network_inputs
    from hwnat.supernet.network import Supernet, weights_path

    if not FASHION.is_dir():
        pytest.skip(f"no Fashion-MNIST at {FASHION}; apt-get install dataset-fashion-mnist")
    torch.set_num_threads(1)
    data = load_dataset(str(FASHION))
    subnet = Evaluator(Supernet.load(weights_path("mbv3-nano")), data, calibration=500)
    arch = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
    module, size = subnet.subnet(arch), arch.resolution
    seen = network_inputs(data, data.train.take(np.arange(128)), size).contiguous().numpy()
    x = network_inputs(data, data.test, size)[:500].contiguous().numpy()
    labels = data.test.labels[:500]
    path = tmp_path / "net.tflite"
    write_int8(module, (1, 3, size, size), path, calibration=seen, native_hswish=native)
    session = TfliteTarget().load(path)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy().argmax(1)
    found = np.concatenate([session.run(each[None]) for each in x]).argmax(1)
    assert (found == wanted).mean() > 0.97
    assert (wanted == labels).mean() - (found == labels).mean() < 0.015
