"""LiteRT on a GPU: on Mesa's driver in software where it is at hand. No time is asserted."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import hwnat
from hwnat.errors import DataError, UsageError
from hwnat.profile.timer import target_of
from hwnat.records.device import DeviceSpec, load_device
from hwnat.targets.base import get_target
from hwnat.targets.tflite.target import TfliteTarget
from hwnat.targets.tflite.writer import write_tflite

SCRIPT = Path(__file__).with_name("on_gpu.py")
FETCH = Path(__file__).parents[2] / "played" / "fetch_lavapipe.sh"
FOLDER = Path.home() / ".cache" / "hwnat-ci" / "lavapipe"


@pytest.fixture(scope="module")
def models(tmp_path_factory, randomised):
    folder = tmp_path_factory.mktemp("models")
    net = randomised(
        nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
        )
    )
    for precision in ("fp32", "int8"):
        target = TfliteTarget(precision=precision)
        target.export(net, (1, 3, 16, 16), folder / f"{precision}.tflite")
    large = randomised(nn.Sequential(nn.Conv2d(16, 96, 3), nn.Conv2d(96, 96, 3)))
    TfliteTarget().export(large, (1, 16, 64, 64), folder / "large.tflite")
    put_unsupported(folder / "partial.tflite")
    return folder


def put_unsupported(path):
    """Write a model whose second operator LiteRT does not run on a GPU."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    write_tflite(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)), (1, 3, 8, 8), path)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.L2_NORMALIZATION
    model.operatorCodes.append(code)
    last = model.subgraphs[0].operators[-1]
    last.opcodeIndex = len(model.operatorCodes) - 1
    last.inputs, last.builtinOptionsType, last.builtinOptions = last.inputs[:1], 0, None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def found_with(variables, folder):
    """Run the script where only the driver of `variables` is found."""
    env = {**os.environ, **variables, "PYTHONPATH": str(Path(hwnat.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # LiteRT's own words are not among the results.
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(models):
    env = FOLDER / "env"
    if not env.is_file():
        pytest.skip(f"no Vulkan driver in software; get one with: {FETCH} {FOLDER}")
    lines = env.read_text().splitlines()
    return found_with(dict(line.split("=", 1) for line in lines), models)


@pytest.mark.slow
def test_outputs_are_those_of_the_cpu(found):
    assert found["fp32"]["shapes"] == [[1, 3, 16, 16], [1, 10]]
    assert max(found["fp32"]["errors"]) < 1e-4
    # Of INT8 files the GPU rounds elsewhere than the CPU does.
    assert max(found["int8"]["errors"]) < 0.1
    assert min(found[each]["between"] for each in ("fp32", "int8")) > 0.2


@pytest.mark.slow
def test_a_run_ends_with_its_output_in_main_memory(found):
    assert found["order"] == {"calls": ["run_by_index", "read"], "same": True}


@pytest.mark.slow
def test_a_run_waits_for_what_the_runtime_only_hands_over(found):
    took = found["waiting"]
    assert took["whole_s"] > 2 * took["handed_s"] > 0, took


@pytest.mark.slow
def test_a_model_that_is_run_in_part_elsewhere_is_refused(found):
    assert found["partial"]["error"] == "DeviceError"
    assert "partial.tflite: the GPU does not take every operator" in found["partial"]["says"]


@pytest.mark.slow
def test_a_machine_without_a_gpu_is_told_what_is_missing(models, tmp_path):
    nowhere = str(tmp_path / "none.json")
    refused = found_with({"VK_DRIVER_FILES": nowhere, "VK_ICD_FILENAMES": nowhere}, models)
    assert refused["partial"]["error"] == "UsageError"
    assert "no GPU" in refused["partial"]["says"]
    assert "vulkaninfo --summary" in refused["partial"]["says"]


def test_a_file_that_is_no_model_is_told_from_a_missing_gpu(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"not a model")
    target = get_target("tflite", delegate="gpu")
    with pytest.raises(DataError, match=r"m\.tflite is not a model"):
        target.load(tmp_path / "m.tflite")
    with pytest.raises(DataError, match="No TFLite file"):
        target.load(tmp_path / "none.tflite")


def test_the_device_file_leads_to_the_gpu():
    target = target_of(load_device("host-tflite-gpu"))
    assert target.runtime()[0] == "ai-edge-litert"
    with pytest.raises(UsageError, match=r"cannot be traced.*host-tflite"):
        target.trace(Path("m.tflite"))


def test_a_delegate_elsewhere_is_the_affair_of_the_runner_there():
    phone = DeviceSpec(name="phone", transport="adb", serial="X", target="tflite", delegate="nnapi")
    assert target_of(phone).precision == "fp32"
    with pytest.raises(UsageError, match="knows no 'nnapi'"):
        target_of(replace(phone, transport="local", serial=None))


def test_precision_and_delegate_go_together():
    target = get_target("tflite", precision="int8", delegate="gpu")
    assert target.precision == "int8"
    with pytest.raises(UsageError, match="cannot be traced"):
        target.trace(Path("m.tflite"))
    with pytest.raises(UsageError, match="cannot be traced"):
        get_target("tflite", delegate="gpu").quantised().trace(Path("m.tflite"))


def test_what_it_writes_is_what_the_cpu_gets(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    for name, target in (("cpu", TfliteTarget()), ("gpu", get_target("tflite", delegate="gpu"))):
        target.export(net, (1, 3, 8, 8), tmp_path / f"{name}.tflite")
    assert (tmp_path / "cpu.tflite").read_bytes() == (tmp_path / "gpu.tflite").read_bytes()


@pytest.mark.parametrize(
    ("target", "delegate", "says"),
    [("tflite", "nnapi", "knows no 'nnapi'"), ("onnx", "gpu", "uses no delegate")],
)
def test_a_delegate_that_is_not_known_is_refused(target, delegate, says):
    with pytest.raises(UsageError, match=says):
        get_target(target, delegate=delegate)
