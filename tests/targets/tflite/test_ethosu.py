"""INT8 files for Ethos-U and the compiler that estimates them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from hwnat.errors import DataError, DeviceError, UsageError
from hwnat.export.parity import check_parity
from hwnat.records.device import Npu, load_device
from hwnat.records.op import OpSpec
from hwnat.targets.base import Estimator, Target, get_target
from hwnat.targets.modules.plain import input_shape, op_module
from hwnat.targets.tflite.ethosu import EthosuTarget
from hwnat.transport.base import Completed
from hwnat.transport.local import LocalTransport

BLOCK = OpSpec(
    kind="mbconv", in_shape=(1, 8, 8, 8), out_channels=8, mid_channels=24, kernel=7,
    act="hswish", se_channels=8, residual=True,
)  # fmt: skip
NPU = Npu(accelerator="ethos-u55-128", system="Ethos_U55_High_End_Embedded", memory="Shared_Sram")
needs_vela = pytest.mark.skipif(
    find_spec("ethosu") is None, reason="no Vela; install it with: pip install hwnat[ethosu]"
)


@pytest.fixture
def exported(randomised, tmp_path):
    """Write the file of one block."""
    module = randomised(op_module(BLOCK))
    path = tmp_path / "block.ethosu.tflite"
    return EthosuTarget().export(module, input_shape(BLOCK), path)


class Recorded:
    """A transport that remembers what it was told and answers as it was told."""

    def __init__(self, stdout="", stderr="", returncode=0):
        self.answer = {"stdout": stdout, "stderr": stderr, "returncode": returncode}

    def run(self, argv, *, timeout_s):
        self.argv, self.timeout_s = argv, timeout_s
        return Completed(argv=tuple(argv), **self.answer)


def test_it_is_a_target_that_estimates_int8_only():
    target = get_target("ethosu", precision="int8")
    assert isinstance(target, Target)
    assert isinstance(target, Estimator)
    assert not isinstance(get_target("tflite"), Estimator)
    with pytest.raises(UsageError, match="ethosu writes int8 files, not fp32"):
        get_target("ethosu", precision="fp32")


def test_its_file_runs_on_a_cpu_for_comparison(randomised, images, tmp_path):
    x = images(16, *input_shape(BLOCK)[1:])
    module, target = randomised(op_module(BLOCK)), EthosuTarget(calibration=x)
    artifact = target.export(module, input_shape(BLOCK), tmp_path / "block.ethosu.tflite")
    assert artifact.precision == "int8"
    assert check_parity(module, target.load(artifact.path), x).relative < 0.03


def test_hard_swish_stays_native_and_wide_kernels_whole(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(exported.path), num_threads=1)
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    assert names.count("HARD_SWISH") == 2
    assert names.count("DEPTHWISE_CONV_2D") == 1


@needs_vela
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u65-512", "ethos-u85-256"])
def test_the_compiler_takes_every_operator(name, exported):
    device = load_device(name)
    text = EthosuTarget().estimate(exported.path, device.npu, link=LocalTransport())
    assert "CPU operators = 0 (0.0%)" in text
    assert "Batch Inference time" in text
    assert device.npu.system in text


@needs_vela
def test_everything_of_the_configuration_is_told_the_compiler(exported):
    link = Recorded("as it was said")
    assert EthosuTarget().estimate(exported.path, NPU, link=link) == "as it was said"
    told = " ".join(link.argv)
    assert f"--accelerator-config {NPU.accelerator} --config Arm/vela.ini" in told
    assert f"--system-config {NPU.system} --memory-mode {NPU.memory}" in told
    assert link.timeout_s < 600
    assert not Path(link.argv[link.argv.index("--output-dir") + 1]).exists()


@needs_vela
def test_a_failure_is_one_line_with_the_compilers_last_words(exported):
    link = Recorded(stderr="Traceback\n  File\nCliOptionError: no section Nope\n", returncode=1)
    with pytest.raises(DeviceError, match=r"ethos-u55-128.*no section Nope") as error:
        EthosuTarget().estimate(exported.path, NPU, link=link)
    assert "\n" not in str(error.value)


@needs_vela
@pytest.mark.slow
def test_an_unknown_system_and_a_damaged_file_are_refused(exported, tmp_path):
    link, unknown = LocalTransport(), Npu(accelerator=NPU.accelerator, system="Nope", memory="No")
    with pytest.raises(DeviceError, match="Nope"):
        EthosuTarget().estimate(exported.path, unknown, link=link)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(exported.path.read_bytes()[:100])
    with pytest.raises(DeviceError, match="cannot compile"):
        EthosuTarget().estimate(broken, NPU, link=link)
    with pytest.raises(DataError, match="No TFLite file at"):
        EthosuTarget().estimate(tmp_path / "absent.tflite", NPU, link=link)


def test_calibration_inputs_fit_the_scales(images, tmp_path):
    module, target = nn.Sequential(nn.Conv2d(3, 3, 1)), EthosuTarget()
    x, path = 100 * images(4, 3, 4, 4), tmp_path / "net.ethosu.tflite"
    target.quantised(x).export(module, (1, 3, 4, 4), path)
    fitted = check_parity(module, target.load(path), x).relative
    target.export(module, (1, 3, 4, 4), path)
    clipped = check_parity(module, target.load(path), x).relative
    assert fitted < 0.02 < clipped


def test_operators_are_not_traced(exported):
    with pytest.raises(UsageError, match="tables of operators need timing"):
        EthosuTarget().trace(exported.path)


def test_without_the_compiler_it_says_what_to_install(exported, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("hwnat.targets.base.version", absent)
    with pytest.raises(UsageError, match=r"pip install 'hwnat\[ethosu\]'"):
        EthosuTarget().estimate(exported.path, NPU, link=Recorded())


def test_a_quantised_output_is_read_as_floats(exported):
    session = EthosuTarget().load(exported.path)
    y = session.run(np.zeros(session.input_shape, np.float32))
    assert y.dtype == np.float32
    assert y.shape == (1, 8, 8, 8)
