"""Targets on NVIDIA GPUs: what they say where there is none, and all of them that needs none."""

import re

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hwnat.errors import DataError, DeviceError, UsageError
from hwnat.export.parity import check_parity
from hwnat.records.device import device_names, load_device
from hwnat.targets.base import SelfTimed, get_target
from hwnat.targets.cuda.gpu import GpuTimed, require_gpu, why_unusable
from hwnat.targets.cuda.onnx import (
    PROVIDER,
    BoundSession,
    CudaOnnxSession,
    open_whole,
    require_provider,
    require_used,
)
from hwnat.targets.cuda.torch import CudaTorchSession, TorchSession
from hwnat.targets.onnx.session import open_session, session_options
from hwnat.targets.onnx.target import OnnxTarget
from hwnat.targets.timing import Host, alternate

NO_GPU = why_unusable(torch.__version__, torch.version.cuda, available=torch.cuda.is_available())
NO_PROVIDER = PROVIDER not in onnxruntime.get_available_providers()
TARGETS = ("onnx-cuda", "torch-cuda")
SHAPE = (1, 3, 16, 16)


@pytest.fixture
def net(randomised):
    return randomised(
        nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
        )
    ).eval()


@pytest.fixture
def files(net, tmp_path):
    """Return target -> the network's file."""
    paths = {name: tmp_path / f"net{get_target(name).suffix}" for name in TARGETS}
    for name, path in paths.items():
        get_target(name).export(net, SHAPE, path)
    return paths


def test_device_files_name_the_targets():
    for name in ("cuda-onnx", "cuda-torch"):
        assert name in device_names()
        spec = load_device(name)
        assert get_target(spec.target).precision == spec.precision
        assert spec.verified is None


@pytest.mark.parametrize(
    ("cuda", "available", "says"),
    [
        (None, False, r"2\.13\.0 is built without CUDA.*hwnat\[cuda\]"),
        ("13.0", False, r"no driver for CUDA 13\.0.*nvidia-smi"),
        ("13.0", True, None),
    ],
)
def test_what_a_machine_lacks_is_told_apart(cuda, available, says):
    missing = why_unusable("2.13.0", cuda, available=available)
    assert missing is None if says is None else re.search(says, missing)


@pytest.mark.skipif(NO_GPU is None, reason="this machine has a GPU")
@pytest.mark.parametrize("name", TARGETS)
def test_a_machine_without_a_gpu_says_so_before_anything_is_done(name, files):
    target = get_target(name)
    for call in (target.runtime, lambda: target.load(files[name])):
        with pytest.raises(UsageError, match=f"Target {name} runs models on an NVIDIA GPU: PyT"):
            call()


@pytest.mark.parametrize("name", TARGETS)
def test_operators_are_not_traced_on_a_gpu(name, files):
    with pytest.raises(UsageError, match="cannot be traced"):
        get_target(name).trace(files[name])


def test_the_files_are_those_of_target_onnx(net, files, tmp_path):
    OnnxTarget().export(net, SHAPE, tmp_path / "other.onnx")
    assert (tmp_path / "other.onnx").read_bytes() == files["onnx-cuda"].read_bytes()


def test_an_onnx_runtime_without_the_provider_is_refused():
    require_provider(["TensorrtExecutionProvider", PROVIDER, "CPUExecutionProvider"])
    with pytest.raises(UsageError, match=r"only CPUExecutionProvider.*onnxruntime-gpu"):
        require_provider(["CPUExecutionProvider"])


@pytest.mark.parametrize("used", [["CPUExecutionProvider"], ["CPUExecutionProvider", PROVIDER], []])
def test_a_session_that_silently_went_to_the_cpu_is_refused(used):
    require_used([PROVIDER, "CPUExecutionProvider"])
    with pytest.raises(UsageError, match="could not start its CUDA provider"):
        require_used(used)


@pytest.mark.skipif(not NO_PROVIDER, reason="this ONNX Runtime has the provider")
def test_a_provider_that_is_asked_for_in_vain_is_noticed(files):
    with pytest.warns(UserWarning, match="not in available provider names"):
        session = open_session(
            files["onnx-cuda"], session_options(1), providers=[PROVIDER, "CPUExecutionProvider"]
        )
    with pytest.raises(UsageError, match="took CPUExecutionProvider"):
        require_used(session.get_providers())


def test_operators_that_would_be_left_to_the_cpu_are_refused(files):
    others = [each for each in onnxruntime.get_available_providers() if each[:3] != "CPU"]
    if not others:
        pytest.skip("this ONNX Runtime has no provider that takes nothing")
    with pytest.raises(DeviceError, match="does not take every operator"):
        open_whole(files["onnx-cuda"], others[-1:])


def test_a_damaged_file_is_no_fault_of_the_provider(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(DataError, match="export it again"):
        open_whole(tmp_path / "net.onnx", ["CPUExecutionProvider"])


def test_bound_tensors_hold_what_torch_computes(net, files, images):
    held = open_session(files["onnx-cuda"], session_options(1))
    session = BoundSession(files["onnx-cuda"], held, device="cpu")
    check_parity(net, session, images(*SHAPE)).require("net")
    first = session.run(images(*SHAPE))
    kept = first.copy()
    assert not np.array_equal(session.run(-images(*SHAPE)), kept)
    np.testing.assert_array_equal(first, kept)


def test_a_program_goes_to_a_device_with_all_that_it_holds(files, images):
    # A device that holds shapes only: whatever stayed behind could not be combined with it.
    session = TorchSession(files["torch-cuda"], device="meta")
    session.prepare(images(*SHAPE))
    session.invoke()
    (result,) = session._results
    assert result.device.type == "meta"
    assert tuple(result.shape) == (1, 10)


def test_floats_keep_their_length_while_a_model_runs_and_settings_come_back(files, images):
    def settings():
        flags = torch.backends.cudnn
        return flags.enabled, flags.allow_tf32, torch.is_inference_mode_enabled()

    session, before, during = TorchSession(files["torch-cuda"]), settings(), []
    genuine = session._module
    session._module = lambda x: during.append(settings()) or genuine(x)
    session.run(images(*SHAPE))
    assert during == [(True, False, True)]
    assert settings() == before


def test_only_sessions_on_a_gpu_have_a_clock_of_their_own(files):
    assert issubclass(CudaTorchSession, SelfTimed)
    assert issubclass(CudaOnnxSession, SelfTimed)
    assert not isinstance(TorchSession(files["torch-cuda"]), SelfTimed)


class _HostClock:
    """A clock that notes when it times and when it only waits."""

    def __init__(self):
        self.calls = []

    def wait(self, call):
        self.calls.append("wait")
        call()

    def timed(self, call):
        self.calls.append(f"timed, inference {torch.is_inference_mode_enabled()}")
        call()
        return 1234


def test_a_session_on_a_gpu_runs_on_the_clock_and_enters_settings_before_it(net, files, images):
    class OnThisMachine(GpuTimed, TorchSession):
        _clock = _HostClock()

    session = OnThisMachine(files["torch-cuda"])
    check_parity(net, session, images(*SHAPE)).require("net")
    assert session._clock.calls == ["wait", "wait"]
    session.prepare(-images(*SHAPE))
    assert session.timed() == 1234
    assert session._clock.calls[2:] == ["wait", "timed, inference True"]
    with torch.inference_mode():
        wanted = net(torch.from_numpy(-images(*SHAPE))).numpy()
    np.testing.assert_allclose(session.output(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU is not None, reason=f"no NVIDIA GPU: {NO_GPU}")
@pytest.mark.parametrize("name", TARGETS)
def test_a_gpu_computes_what_torch_does_and_times_it_itself(name, net, files, images):
    if name == "onnx-cuda" and NO_PROVIDER:
        pytest.skip("this ONNX Runtime has no CUDA provider")
    target = get_target(name)
    assert require_gpu(name) in target.runtime()[1]
    one, two = target.load(files[name]), target.load(files[name])
    check_parity(net, one, images(*SHAPE)).require(name)
    two.prepare(-images(*SHAPE))
    first = one.output()
    samples, reference, _ = alternate(one, two, runs=5, warmup=3, host=Host(preemptions=lambda: 0))
    assert min(len(samples), len(reference)) >= 5
    assert min(samples + reference) > 0
    np.testing.assert_allclose(one.output(), first, rtol=1e-5)
    assert not np.allclose(two.output(), first, rtol=1e-2)
