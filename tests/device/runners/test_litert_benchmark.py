"""The genuine program, run here; and reports that it wrote elsewhere."""

import json
import sys

import pytest
import torch
from torch import nn

from hwnat.device.runners.base import Order, get_runner
from hwnat.device.runners.litert_benchmark import LitertBenchmarkRunner
from hwnat.errors import DataError, DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.targets.tflite.target import TfliteTarget
from hwnat.transport.local import LocalTransport


def a_spec(**changes):
    settings = {"transport": "local", "target": "tflite", "runner": "litert-benchmark"}
    return DeviceSpec(name="board", **{**settings, "python": sys.executable, **changes})


def a_report(*, accelerators=("CPU",), **changes):
    latency = {"init_ms": 1.5, "warmup_first_ms": 0.07, "warmup_avg_ms": 0.07, "avg_ms": 0.0533}
    latency |= {"num_warmup_runs": 1, "min_ms": 0.0515, "max_ms": 0.1031, "median_ms": 0.052027}
    latency |= {"std_ms": 0.007, "p5_ms": 0.0518, "p95_ms": 0.0531, "num_runs": 5, **changes}
    report = {"accelerators": list(accelerators), "fully_accelerated": True, "latency": latency}
    return json.dumps(report) + "\n"


@pytest.fixture(scope="module", params=["fp32", "int8"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m 'x'.tflite"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    TfliteTarget(precision=request.param).export(net, (1, 3, 16, 16), path)
    return path


def timed(order):
    runner = LitertBenchmarkRunner(a_spec())
    done = LocalTransport().run(runner.argv(order, folder="unused"), timeout_s=60)
    return done.check(), runner.read(done.stdout, where="board")


def test_a_device_that_names_it_gets_it():
    assert isinstance(get_runner(a_spec()), LitertBenchmarkRunner)


def test_the_genuine_program_times_a_model_for_as_long_as_a_visit_lasts(model):
    order = Order(model=str(model), reference=None, threads=1, runs=5, warmup=2, visit_ms=20.0)
    done, read = timed(order)
    (sample,) = read.samples_ns
    latency = json.loads(done.stdout)["latency"]
    assert sample == round(latency["median_ms"] * 1e6)
    # A model this small is run far more often than asked for, and its time is not rounded to 10 us.
    assert latency["num_runs"] > 5
    assert latency["num_warmup_runs"] > 2
    assert any(round(latency[key], 2) != latency[key] for key in ("median_ms", "avg_ms"))


def test_the_runs_asked_for_are_made_however_long_they_take(model):
    order = Order(model=str(model), reference=None, threads=2, runs=9, warmup=4, visit_ms=0.0)
    done, _ = timed(order)
    report = json.loads(done.stdout)
    assert report["num_threads"] == 2
    assert report["latency"]["num_runs"] == 9
    assert report["latency"]["num_warmup_runs"] == 4


def test_the_package_on_the_device_is_asked_for_its_version():
    name, version, said = LitertBenchmarkRunner(a_spec()).install(
        LocalTransport(), folder="unused", machine=None
    )
    assert (name, version) == TfliteTarget().runtime()
    assert said == f"litert-benchmark {version}"


def test_a_python_without_the_package_is_told_how_to_install_it(tmp_path):
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(UsageError, match=r"-m pip install 'ai-edge-litert>=2.2'"):
        LitertBenchmarkRunner(a_spec(python=str(bare))).install(
            LocalTransport(), folder="unused", machine=None
        )


def test_a_program_that_is_no_python_is_an_error_of_the_device(tmp_path):
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\necho Python 3\n")
    other.chmod(0o755)
    with pytest.raises(DeviceError, match="printed 'Python 3'"):
        LitertBenchmarkRunner(a_spec(python=str(other))).install(
            LocalTransport(), folder="unused", machine=None
        )


def test_a_model_that_is_not_there_is_an_error():
    runner = LitertBenchmarkRunner(a_spec())
    order = Order(model="/none", reference=None, threads=1, runs=1, warmup=1, visit_ms=1.0)
    done = LocalTransport().run(runner.argv(order, folder="unused"), timeout_s=60)
    assert done.returncode
    with pytest.raises(DeviceError, match="Model file not found: /none"):
        done.check()


@pytest.mark.parametrize("delegate", ["gpu", "nnapi"])
def test_an_accelerator_it_does_not_wait_for_is_refused(delegate):
    with pytest.raises(UsageError, match=r"does not wait.*benchmark_model"):
        LitertBenchmarkRunner(a_spec(delegate=delegate))


def test_another_target_is_refused():
    with pytest.raises(UsageError, match="TFLite files"):
        LitertBenchmarkRunner(a_spec(target="onnx"))


@pytest.mark.parametrize("accelerators", [("GPU",), ("GPU", "CPU"), ("NPU", "CPU")])
def test_a_report_of_an_accelerator_is_not_believed(accelerators):
    with pytest.raises(DeviceError, match="no latency"):
        LitertBenchmarkRunner(a_spec()).read(a_report(accelerators=accelerators), where="board")


def test_a_published_report_of_a_gpu_is_not_believed(shared_data):
    text = (shared_data / "runtime-logs" / "litert_benchmark_py.json").read_text()
    with pytest.raises(DeviceError, match=r"GPU\|CPU"):
        LitertBenchmarkRunner(a_spec()).read(text, where="board")


def test_a_report_keeps_its_digits():
    read = LitertBenchmarkRunner(a_spec()).read(a_report(), where="board")
    assert read.samples_ns == (52_027,)


@pytest.mark.parametrize("text", ["", "{}\n", a_report()[:-3], a_report(median_ms=0), "hello\n"])
def test_anything_else_is_refused(text):
    with pytest.raises(DataError):
        LitertBenchmarkRunner(a_spec()).read(text, where="board")
