"""What only the TFLite target promises; the rest stands in test_conformance.py."""

import operator
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hwnat.errors import DataError, UsageError
from hwnat.export.parity import check_parity
from hwnat.records.op import OpSpec
from hwnat.targets.modules.plain import input_shape, op_module
from hwnat.targets.tflite.target import TfliteTarget

ROOT = Path(__file__).parents[3]


def operators(path):
    """Every operator of a file as the interpreter runs it, delegates included."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter, [op["op_name"] for op in interpreter._get_ops_details()]


@pytest.mark.parametrize("act", ["none", "relu", "hswish", "mish"])
def test_one_delegate_runs_the_whole_graph(act, randomised, tmp_path):
    op = OpSpec(
        kind="mbconv", in_shape=(1, 8, 8, 8), out_channels=8, mid_channels=24, kernel=7,
        act=act, se_channels=8, residual=True,
    )  # fmt: skip
    path = tmp_path / "block.tflite"
    artifact = TfliteTarget().export(randomised(op_module(op)), input_shape(op), path)
    interpreter, names = operators(path)
    assert names.count("DELEGATE") == 1
    assert len(names) == artifact.details["operators"] + 1
    delegate = interpreter._get_ops_details()[-1]
    assert interpreter.get_input_details()[0]["index"] in delegate["inputs"]
    assert list(delegate["outputs"]) == [interpreter.get_output_details()[0]["index"]]


def depthwise(kernel, stride=1, multiplier=1):
    return nn.Sequential(
        nn.Conv2d(4, 4 * multiplier, kernel, stride, kernel // 2, groups=4, bias=False)
    )


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.sampled_from([1, 3, 5, 7, 9]),
    stride=st.integers(1, 2),
    split=st.booleans(),
    wide=st.booleans(),
)
def test_padding_and_splitting_suit_every_size(
    size, kernel, stride, split, wide, randomised, images, tmp_path_factory
):
    module = randomised(depthwise(kernel, stride, multiplier=1 + wide))
    x, path = images(1, 4, *size), tmp_path_factory.getbasetemp() / "padding.tflite"
    target = TfliteTarget(split_depthwise=split)
    target.export(module, x.shape, path)
    check_parity(module, target.load(path), x).require(path)


def test_large_depthwise_kernels_are_split_unless_asked_not_to(randomised, tmp_path):
    path = tmp_path / "net.tflite"
    for kernel, count in ((5, 1), (7, 3)):
        TfliteTarget().export(randomised(depthwise(kernel)), (1, 4, 8, 8), path)
        assert operators(path)[1].count("DEPTHWISE_CONV_2D") == count
    TfliteTarget(split_depthwise=False).export(randomised(depthwise(7)), (1, 4, 8, 8), path)
    assert operators(path)[1].count("DEPTHWISE_CONV_2D") == 1


def test_a_relu_is_fused_only_if_nobody_else_reads_its_input(randomised, images, tmp_path):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.skip = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Identity()

        def forward(self, x):
            y = self.conv(x)
            return self.act(y) + self.skip(y)

    fused = randomised(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity(), nn.ReLU()))
    path, x = tmp_path / "net.tflite", images(1, 3, 4, 4)
    for module, expected in ((fused, 1), (randomised(Shared()), 3)):
        artifact = TfliteTarget().export(module, x.shape, path)
        check_parity(module, TfliteTarget().load(path), x).require(path)
        assert artifact.details["operators"] == expected


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Hardsigmoid(), nn.Mish()],
    ids=lambda module: type(module).__name__,
)
def test_a_single_layer_can_be_exported(module, images, tmp_path):
    x = 30 * images(1, 3, 6, 6)  # far beyond where exp and tanh saturate
    path = TfliteTarget().export(module, x.shape, tmp_path / "net.tflite").path
    check_parity(module, TfliteTarget().load(path), x).require(path)


class Calls(nn.Module):
    """Applies a function to the outputs of a convolution."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv2d(4, 4, 1), function

    def forward(self, x):
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (nn.Sequential(nn.Conv3d(4, 4, 1)), r"No TFLite file of Sequential"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, padding="same")), r"Conv2d at '0' pads 'same'"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1, padding_mode="reflect")), r"pads with reflect"),
        (nn.Sequential(nn.ReLU(), nn.Sequential(nn.SELU())), r"SELU at '1\.0' is not supported"),
        (nn.Sequential(nn.AvgPool2d(2, ceil_mode=True)), r"AvgPool2d at '0' rounds"),
        (nn.Sequential(nn.AvgPool2d(2, divisor_override=3)), r"AvgPool2d at '0' divides"),
        (nn.Sequential(nn.MaxPool2d(2, dilation=2)), r"MaxPool2d at '0' is dilated"),
        (nn.Sequential(nn.ReLU(), nn.LayerNorm(6)), r"LayerNorm at '1' is not supported"),
        (nn.Sequential(nn.Flatten(2)), r"Flatten at '0' flattens \(1, 4, 6, 6\) from axis 2"),
        (nn.Sequential(nn.ELU(0.5)), r"ELU at '0' has alpha 0\.5"),
        (nn.Sequential(nn.MaxPool2d(2, return_indices=True)), r"MaxPool2d at '0' returns"),
        (nn.Sequential(nn.ConvTranspose2d(4, 4, 3, padding=1)), r"ConvTranspose2d at '0' pads"),
        (nn.Sequential(nn.Upsample(scale_factor=2)), r"Upsample at '0' resizes by nearest"),
        (
            nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)),
            r"BatchNorm2d at '0' has no running statistics",
        ),
        (
            nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
            r"BatchNorm2d at '1' has no running statistics",
        ),
        (nn.Sequential(nn.AdaptiveAvgPool2d(2)), r"AdaptiveAvgPool2d at '0' pools to 2"),
        (Calls(lambda y: y.mean()), r"mean at 'mean' is not supported"),
        (Calls(lambda y: y + 1), r"add at 'add' takes 1, which"),
        (Calls(lambda y: torch.add(y, y, alpha=2)), r"add at 'add' is not supported"),
        (Calls(lambda y: (y, y)), r"output"),
        (Calls(lambda y: y if y.sum() > 0 else -y), r"control flow"),
        (nn.Sequential(nn.Identity()), r"has no operator"),
    ],
)
def test_what_the_writer_does_not_know_is_refused_by_name(module, named, tmp_path):
    with pytest.raises(UsageError, match=named) as error:
        TfliteTarget().export(module, (1, 4, 6, 6), tmp_path / "net.tflite")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_convolution_shared_by_two_norms_keeps_both(randomised, images, tmp_path):
    shared = nn.Conv2d(4, 4, 1)
    module = randomised(nn.Sequential(shared, nn.BatchNorm2d(4), shared, nn.BatchNorm2d(4)))
    path, x = tmp_path / "net.tflite", images(1, 4, 6, 6)
    TfliteTarget().export(module, x.shape, path)
    check_parity(module, TfliteTarget().load(path), x).require(path)


def test_constants_are_aligned_for_vector_instructions(randomised, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    path = tmp_path / "net.tflite"
    module = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5))
    TfliteTarget().export(randomised(module), (1, 3, 4, 4), path)
    content = path.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(index) for index in range(1, model.BuffersLength())]
    starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers]
    assert len(starts) == 2
    assert all(start % 16 == 0 for start in starts)


RUN_THERE = """
import sys
from pathlib import Path
import numpy as np
from hwnat.errors import DataError
from hwnat.targets.tflite.target import TfliteTarget
from hwnat.targets.timing import Host, alternate
folder, target = Path(sys.argv[1]), TfliteTarget()
for path in sorted(folder.glob("*.tflite")):
    one, two = target.load(path), target.load(path)
    np.save(path.with_suffix(".out.npy"), one.run(np.load(path.with_suffix(".in.npy"))))
    two.prepare(np.load(path.with_suffix(".in.npy")))
    host = Host(preemptions=lambda: 0)
    assert len(alternate(one, two, runs=2, warmup=1, host=host)[0]) >= 2
(folder / "cut").write_bytes(path.read_bytes()[:-64])
try:
    target.load(folder / "cut")
except DataError as error:
    print("refused")
print(*target.runtime(), "torch" in sys.modules)
"""


@pytest.fixture(scope="session")
def lean_python(request):
    """A Python with numpy and tflite-runtime alone, kept between test runs."""
    folder = request.config.cache.mkdir("tflite-runtime")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        packages = ["tflite-runtime==2.14.0", "numpy==1.26.4"]
        argv = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install {packages}: {done.stderr.strip()[-200:]}")
        (folder / "complete").touch()
    return str(python)


@pytest.mark.slow
def test_the_same_files_and_code_run_on_tflite_runtime_without_torch(
    lean_python, randomised, images, tmp_path
):
    modules = {}
    for act in ("relu", "hswish", "mish"):
        op = OpSpec(
            kind="mbconv", in_shape=(1, 9, 8, 8), out_channels=8, mid_channels=24, kernel=7,
            stride=2, act=act, se_channels=8,
        )  # fmt: skip
        head = OpSpec(kind="convpool", in_shape=(1, 5, 4, 8), out_channels=16, act=act)
        linear = OpSpec(kind="linear", in_shape=(1, 1, 1, 16), out_channels=4)
        modules[act] = randomised(nn.Sequential(*map(op_module, (op, head, linear)))).eval()
        TfliteTarget().export(modules[act], (1, 8, 9, 8), tmp_path / f"{act}.tflite")
        np.save(tmp_path / f"{act}.in.npy", images(1, 8, 9, 8))
    argv = [lean_python, "-c", RUN_THERE, str(tmp_path)]
    env = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["refused", "tflite-runtime 2.14.0 False"]
    for act, module in modules.items():
        with torch.no_grad():
            wanted = module(torch.from_numpy(images(1, 8, 9, 8))).numpy()
        found = np.load(tmp_path / f"{act}.out.npy")
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))


def test_a_file_with_two_inputs_runs_but_not_on_images(tmp_path):
    from hwnat.targets.tflite.file import FileBuilder

    builder, path = FileBuilder(), tmp_path / "net.tflite"
    inputs = [builder.tensor((1, 2, 2, 1), name) for name in "ab"]
    total = builder.add("ADD", inputs, (1, 2, 2, 1), "AddOptions")
    path.write_bytes(builder.finish(inputs, [total]))
    session = TfliteTarget().load(path)
    session.bind([np.full((1, 2, 2, 1), x, np.float32) for x in (3, 4)])
    session.invoke()
    assert (session.outputs()[0] == 7).all()
    with pytest.raises(DataError, match="must have one 4-D float32 or int8 input"):
        session.run(np.zeros((1, 1, 2, 2), np.float32))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=2)),
        nn.Sequential(nn.Conv2d(4, 8, 3, padding=2, dilation=2)),
        nn.Sequential(nn.Conv2d(4, 4, 3, 2, 3, dilation=3, groups=4)),
        nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(4, 8, 3, 2)),
        nn.Sequential(nn.MaxPool2d(3, 2)),
        nn.Sequential(nn.MaxPool2d(3, 2, 1)),
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        nn.Sequential(nn.MaxPool2d(1, 9)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        nn.Sequential(nn.AvgPool2d(2)),
        nn.Sequential(nn.AdaptiveMaxPool2d(1)),
        nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
        nn.Sequential(nn.BatchNorm2d(4)),
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)),
        nn.Sequential(nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Identity(), nn.ReLU()),
        nn.Sequential(nn.LocalResponseNorm(3, 0.5)),
        nn.Sequential(nn.ConvTranspose2d(4, 3, 3, 2)),
        nn.Sequential(nn.Upsample((15, 13))),
        nn.Sequential(nn.Upsample((15, 13), mode="bilinear")),
        nn.Sequential(nn.Upsample((15, 13), mode="bilinear", align_corners=True)),
        nn.Sequential(nn.Softmax(1)),
        nn.Sequential(nn.Softmax(2)),
        nn.Sequential(nn.Softmax(3)),
        nn.Sequential(nn.Sigmoid()),
        nn.Sequential(nn.Tanh()),
        nn.Sequential(nn.SiLU()),
        nn.Sequential(nn.GELU()),
        nn.Sequential(nn.GELU("tanh")),
        nn.Sequential(nn.ELU()),
        nn.Sequential(nn.LeakyReLU(0.2)),
        nn.Sequential(nn.ReLU6()),
        nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU6()),
        Calls(lambda y: torch.cat([y, y * y], 1)),
        Calls(lambda y: torch.cat([y, y * y])),
        Calls(lambda y: operator.sub(y, y * y)),
        Calls(lambda y: torch.reshape(torch.permute(y, (0, 2, 3, 1)), (2, -1, 2))),
        Calls(lambda y: torch.cat([y, y * y], dim=1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(9, 7), (8, 8)])
def test_what_other_networks_need_computes_what_torch_does(
    module, size, randomised, images, tmp_path
):
    module, x = randomised(module), 3 * images(2, 4, *size)
    path = tmp_path / "net.tflite"
    TfliteTarget().export(module, x.shape, path)
    check_parity(module, TfliteTarget().load(path), x).require(str(module))
