"""The tool's flags and what it prints; a stand-in for the program runs models with LiteRT."""

import os
import shlex
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hwnat.device.runners.base import Order, get_runner
from hwnat.device.runners.benchmark_model import BenchmarkModelRunner
from hwnat.errors import DataError, DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.targets.tflite.target import TfliteTarget
from hwnat.transport.local import LocalTransport

STAND_IN = Path(__file__).with_name("stand_in.py")
MACHINE = Machine(
    host=Host(cpu="a CPU", cores=2, machine="aarch64", os="Linux"),
    conditions=Conditions(at="2026-01-01T00:00:00+00:00"),
    abi="aarch64",
)
HEAD = """\
INFO: STARTING!
INFO: Loaded model m.tflite
{applied}
INFO: Initialized session in 2.213ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if \
exceeding 150 seconds.
INFO: count=1 curr=81

INFO: Running benchmark for at least {asked} iterations and at least 1 seconds but terminate if \
exceeding 150 seconds.
INFO: {runs}

INFO: Inference timings in us: Init: 2213, First inference: 81, Warmup (avg): 81, \
Inference (avg): {average}
INFO: Memory footprint delta from the start of the tool (MB): init=1.6 overall=5.2
"""
RUNS = "count=5 first=62 curr=60 min=59 max=66 avg=61.4 std=2 p5=59 median=60 p95=65"
FULL = (
    "INFO: Explicitly applied {} delegate, and the model graph will be completely executed by "
    "the delegate w/ 1 delegate kernels."
)
PART = FULL.replace("completely", "partially")
NONE = (
    "INFO: Though {} delegate is explicitly applied, the model graph will not be executed by the "
    "delegate."
)


def a_spec(**changes):
    settings = {"transport": "local", "target": "tflite", "runner": "benchmark_model"}
    return DeviceSpec(name="pixel", **{**settings, **changes})


def a_log(*, runs=RUNS, applied="INFO: Use xnnpack: [1]", asked=5, average="61.4"):
    return HEAD.format(runs=runs, applied=applied, asked=asked, average=average)


def an_order(model="m.tflite", **changes):
    settings = {"reference": None, "threads": 1, "runs": 5, "warmup": 1, "visit_ms": 20.0}
    return Order(model=str(model), **{**settings, **changes})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m;$(touch boom).tflite"
    torch.manual_seed(0)
    TfliteTarget().export(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (1, 3, 16, 16), path)
    return path


@pytest.fixture
def put(tmp_path):
    """Put a stand-in into the device's folder: `put("litert", takes="partially")`."""

    def install(generation="litert", *, takes="completely", text=None):
        program = tmp_path / "benchmark_model"
        call = shlex.join([sys.executable, str(STAND_IN), generation, takes])
        program.write_text(text or f'#!/bin/sh\nexec {call} "$@"\n')
        program.chmod(0o755)
        return str(tmp_path)

    return install


def timed(runner, order, folder):
    done = LocalTransport().run(runner.argv(order, folder=folder), timeout_s=60)
    return done, lambda: runner.read(done.check().stdout, where="pixel")


def test_a_device_that_names_it_gets_it():
    assert isinstance(get_runner(a_spec()), BenchmarkModelRunner)


def test_a_visit_becomes_the_flags_of_one_process():
    argv = BenchmarkModelRunner(a_spec()).argv(
        an_order(threads=2, runs=7, warmup=3, visit_ms=500), folder="/data/local/tmp/hwnat"
    )
    assert argv == [
        "/data/local/tmp/hwnat/benchmark_model",
        "--graph=m.tflite",
        "--num_threads=2",
        "--warmup_runs=3",
        "--warmup_min_secs=0.25",
        "--num_runs=7",
        "--min_secs=0.25",
        "--use_xnnpack=true",
    ]


@pytest.mark.parametrize(
    ("delegate", "precision", "flags"),
    [
        ("gpu", "fp32", ["--use_gpu=true", "--gpu_precision_loss_allowed=false"]),
        ("gpu", "int8", ["--use_gpu=true", "--gpu_experimental_enable_quant=true"]),
        (
            "nnapi",
            "fp32",
            ["--use_nnapi=true", "--disable_nnapi_cpu=true", "--nnapi_allow_fp16=false"],
        ),
        ("nnapi", "int8", ["--use_nnapi=true", "--disable_nnapi_cpu=true"]),
    ],
)
def test_a_delegate_is_asked_to_take_everything(delegate, precision, flags):
    runner = BenchmarkModelRunner(a_spec(delegate=delegate, precision=precision))
    argv = runner.argv(an_order(), folder="f")
    assert argv[7:] == [*flags, "--require_full_delegation=true"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"delegate": "tpu"}, "delegate 'tpu'.*gpu, nnapi"), ({"target": "onnx"}, "TFLite files")],
)
def test_what_it_cannot_time_is_refused_at_once(changes, says):
    with pytest.raises(UsageError, match=says):
        BenchmarkModelRunner(a_spec(**changes))


def test_a_device_without_the_program_is_told_the_command(tmp_path):
    runner = BenchmarkModelRunner(a_spec())
    with pytest.raises(UsageError, match=r"aarch64.*device setup pixel --benchmark-model PATH"):
        runner.install(LocalTransport(), folder=str(tmp_path), machine=MACHINE)


def test_two_builds_have_two_versions(put):
    runner, found = BenchmarkModelRunner(a_spec()), set()
    for generation in ("litert", "tf2"):
        name, version, said = runner.install(
            LocalTransport(), folder=put(generation), machine=MACHINE
        )
        assert (name, said) == ("benchmark_model", f"benchmark_model {version}")
        found.add(version)
    assert len(found) == 2
    assert all(len(each) == 12 and int(each, 16) for each in found)


@pytest.mark.parametrize("text", ["#!/bin/sh\necho hello\n", "#!/bin/sh\nexit 127\n"])
def test_another_program_of_that_name_is_refused(put, text):
    runner = BenchmarkModelRunner(a_spec())
    with pytest.raises(DeviceError, match="does not start there"):
        runner.install(LocalTransport(), folder=put(text=text), machine=MACHINE)


@pytest.mark.parametrize("generation", ["tf1", "tf2", "litert"])
def test_a_model_is_run_and_every_generation_is_read(put, model, generation):
    runner, folder = BenchmarkModelRunner(a_spec()), put(generation)
    done, read = timed(runner, an_order(model), folder)
    (sample,) = read().samples_ns
    assert 0 < sample < 10**9
    assert f"Graph: [{model}]" in done.stdout
    assert not list(Path(folder).glob("boom"))


@pytest.mark.parametrize("delegate", ["gpu", "nnapi"])
def test_a_model_that_the_delegate_takes_whole_is_timed(put, model, delegate):
    runner = BenchmarkModelRunner(a_spec(delegate=delegate))
    _, read = timed(runner, an_order(model), put())
    assert len(read().samples_ns) == 1


@pytest.mark.parametrize(("takes", "says"), [("partially", "in part"), ("nothing", "no operator")])
def test_a_build_that_lets_operators_fall_back_is_not_believed(put, model, takes, says):
    runner = BenchmarkModelRunner(a_spec(delegate="gpu"))
    done, read = timed(runner, an_order(model), put("tf2", takes=takes))
    assert done.returncode == 0
    with pytest.raises(DeviceError, match=f"{says}.*no latency of the GPU.*devices/pixel.toml"):
        read()


def test_a_build_that_refuses_to_fall_back_ends_with_an_error(put, model):
    runner = BenchmarkModelRunner(a_spec(delegate="gpu"))
    done, _ = timed(runner, an_order(model), put(takes="partially"))
    assert done.returncode == 1
    with pytest.raises(DeviceError, match="does not take every operator"):
        runner.read(done.stdout + done.stderr, where="pixel")


def test_a_build_too_old_to_say_what_the_delegate_took_is_refused(put, model):
    runner = BenchmarkModelRunner(a_spec(delegate="gpu"))
    _, read = timed(runner, an_order(model), put("tf1"))
    with pytest.raises(DeviceError, match=r"does not say.*newer build"):
        read()


def test_a_file_that_is_no_model_is_an_error_of_the_runner(put, tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"TFL3" + os.urandom(99))
    runner = BenchmarkModelRunner(a_spec())
    done, _ = timed(runner, an_order(tmp_path / "m.tflite"), put())
    assert done.returncode
    with pytest.raises(DeviceError, match="cannot read the model"):
        runner.read(done.stdout + done.stderr, where="pixel")


def test_the_median_counts_and_the_average_where_it_is_finer():
    runner = BenchmarkModelRunner(a_spec())
    assert runner.read(a_log(), where="pixel").samples_ns == (60_000,)
    old = a_log(runs=RUNS.partition(" p5=")[0])
    assert runner.read(old, where="pixel").samples_ns == (61_400,)
    short = "count=5 first=3 curr=2 min=2 max=3 avg=2.25 std=0 p5=2 median=2 p95=3"
    log = a_log(runs=short, average="2.25")
    assert runner.read(log, where="pixel").samples_ns == (2_250,)


def test_the_delegate_that_was_asked_for_has_to_be_the_one_that_ran():
    runner = BenchmarkModelRunner(a_spec(delegate="gpu"))
    assert runner.read(a_log(applied=FULL.format("GPU")), where="pixel").samples_ns == (60_000,)
    for said, says in (
        (FULL.format("XNNPACK"), "does not say"),
        (PART.format("GPU"), "in part"),
        (NONE.format("GPU"), "no operator"),
    ):
        with pytest.raises(DeviceError, match=says):
            runner.read(a_log(applied=said), where="pixel")


def test_operators_left_to_the_cpu_are_counted():
    said = (
        "131 operations will run on the GPU, and the remaining 4 operations will run on the CPU.\n"
    )
    runner = BenchmarkModelRunner(a_spec(delegate="gpu"))
    with pytest.raises(DeviceError, match="left 4 operators to the CPU"):
        runner.read(a_log(applied=said + PART.format("GPU")), where="pixel")


def test_fewer_runs_than_were_asked_for_are_refused():
    with pytest.raises(DataError, match="5 runs, 9 were requested"):
        BenchmarkModelRunner(a_spec()).read(a_log(asked=9), where="pixel")


def test_an_output_that_was_cut_is_refused_at_every_line():
    lines = a_log().splitlines(keepends=True)
    runner = BenchmarkModelRunner(a_spec())
    for end in range(len(lines)):
        with pytest.raises(DataError):
            runner.read("".join(lines[:end]), where="pixel")


@pytest.mark.parametrize(
    ("name", "sample_ns"),
    [
        ("bm_tf1.14.txt", 5_069_460),
        ("bm_tf2.4_opprofile.txt", 5_069_460),
        ("bm_litert2_xnnpack_opprofile.txt", 5_071_000),
    ],
)
def test_published_outputs_of_the_genuine_tool(shared_data, name, sample_ns):
    text = (shared_data / "runtime-logs" / name).read_text()
    read = BenchmarkModelRunner(a_spec()).read(text, where="pixel")
    assert read.samples_ns == (sample_ns,)


def test_a_published_partial_delegation_is_refused(shared_data):
    text = (shared_data / "runtime-logs" / "bm_litert2_gpu_partial_slow.txt").read_text()
    with pytest.raises(DeviceError, match="left 4 operators to the CPU"):
        BenchmarkModelRunner(a_spec(delegate="gpu")).read(text, where="pixel")
