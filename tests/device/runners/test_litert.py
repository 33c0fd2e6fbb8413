import shlex
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from hwnat.device.runners.base import Answering, Order, Runner, get_runner
from hwnat.device.runners.compiler import source_id
from hwnat.device.runners.litert import LitertRunner
from hwnat.device.runners.result import read_result
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.local import LocalTransport

SPEC = DeviceSpec(name="pi", transport="ssh", host="pi", target="tflite", precision="int8")
MACHINE = Machine(
    host=Host(cpu=None, cores=2, machine="aarch64", os="Linux"),
    conditions=Conditions(at="2026-11-25T00:00:00+00:00"),
    abi="aarch64",
)


def order(model, reference=None, **changes):
    few = {"threads": 1, "runs": 3, "warmup": 1, "visit_ms": 0.0, **changes}
    return Order(model=str(model), reference=reference and str(reference), **few)


def carried_out(argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_model_and_reference_take_turns_in_one_process(precision, nano_model, litert_tools):
    runner = LitertRunner(SPEC)
    block, net = (nano_model(key, "tflite", precision) for key in ("block", "net"))
    done = carried_out(runner.argv(order(block, net, runs=7), folder=str(litert_tools)))
    assert done.returncode == 0, done.stderr
    timed, runtime, _ = read_result(done.stdout, where="here")
    assert runtime == "litert"
    assert timed == runner.read(done.stdout, where="here")
    assert min(len(timed.samples_ns), len(timed.reference_ns)) >= 7 - timed.disturbed
    assert len(timed.samples_ns) + len(timed.reference_ns) + timed.disturbed >= 14


def test_a_visit_lasts_as_long_as_it_should(nano_model, litert_tools):
    runner, block = LitertRunner(SPEC), nano_model("block", "tflite", "int8")
    long = order(block, visit_ms=150.0)
    timed = runner.read(
        carried_out(runner.argv(long, folder=str(litert_tools))).stdout, where="here"
    )
    assert len(timed.samples_ns) + timed.disturbed > 3 * 3
    assert timed.reference_ns == ()


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_it_computes_what_the_host_computes(
    precision, nano_model, host_answer, litert_tools, tmp_path
):
    runner, net = LitertRunner(SPEC), nano_model("net", "tflite", precision)
    given, wanted = host_answer(net, "tflite")
    (tmp_path / "in").write_bytes(given.tobytes())
    argv = runner.answer(
        folder=str(litert_tools),
        model=str(net),
        given=str(tmp_path / "in"),
        answer=str(tmp_path / "out"),
    )
    done = carried_out(argv)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(
        np.frombuffer((tmp_path / "out").read_bytes(), wanted.dtype), wanted.ravel()
    )
    (tmp_path / "in").write_bytes(given.tobytes()[:-1])
    assert "bytes, this file is not" in carried_out(argv).stderr


def test_the_older_c_library_computes_the_same(
    nano_model, host_answer, litert_tools, older_runtimes, tmp_path
):
    shutil.copy(litert_tools / "hwnat-run", tmp_path)
    library = older_runtimes / "pymicro_wakeword/lib/libtensorflowlite_c.so"
    shutil.copy(library, tmp_path)
    runner = LitertRunner(SPEC)
    found = runner.install(LocalTransport(), folder=str(tmp_path), machine=MACHINE)
    assert found == ("tflite", "2.17.1", f"hwnat-run 1 (C, {source_id()})")
    net, block = (nano_model(key, "tflite", "int8") for key in ("net", "block"))
    timed = runner.read(
        carried_out(runner.argv(order(net, block), folder=str(tmp_path))).stdout, where="here"
    )
    assert len(timed.samples_ns) + len(timed.reference_ns) + timed.disturbed >= 6
    given, wanted = host_answer(net, "tflite")
    (tmp_path / "in").write_bytes(given.tobytes())
    names = {"given": str(tmp_path / "in"), "answer": str(tmp_path / "out")}
    argv = runner.answer(folder=str(tmp_path), model=str(net), **names)
    assert carried_out(argv).returncode == 0
    answer = np.frombuffer((tmp_path / "out").read_bytes(), np.int8)
    np.testing.assert_array_equal(answer, wanted.ravel())


def test_an_installed_runner_says_what_it_is(litert_tools):
    runner = LitertRunner(SPEC)
    found = runner.install(LocalTransport(), folder=str(litert_tools), machine=MACHINE)
    assert found == ("litert", "unknown", f"hwnat-run 1 (C, {source_id()})")
    size = (litert_tools / "libLiteRt.so").stat().st_size
    note = litert_tools / "libLiteRt.so.version"
    try:
        note.write_text(f"2.3.0 {size}\n")
        found = runner.install(LocalTransport(), folder=str(litert_tools), machine=MACHINE)
        assert found == ("litert", "2.3.0", f"hwnat-run 1 (C, {source_id()})")
        note.write_text(f"2.3.0 {size + 1}\n")  # of another library
        found = runner.install(LocalTransport(), folder=str(litert_tools), machine=MACHINE)
        assert found[1] == "unknown"
    finally:
        note.unlink()


def test_what_is_missing_is_named_with_the_command_that_brings_it(litert_tools, tmp_path):
    def install():
        return LitertRunner(SPEC).install(LocalTransport(), folder=str(tmp_path), machine=MACHINE)

    command = r"hwnat device setup pi --litert PATH.*aarch64"
    with pytest.raises(UsageError, match=rf"no hwnat-run in .*{command}"):
        install()
    (tmp_path / "hwnat-run").write_bytes((litert_tools / "hwnat-run").read_bytes())
    with pytest.raises(UsageError, match=rf"no libLiteRt.so in .*{command}"):
        install()
    (tmp_path / "hwnat-run").chmod(0o755)
    (tmp_path / "libLiteRt.so").write_bytes(b"\x7fELF")
    with pytest.raises(DeviceError, match="cannot load the library"):
        install()


def test_a_program_of_another_version_is_not_used(litert_tools, tmp_path):
    source = str(files("hwnat.device.runners") / "runner.c")
    argv = ["cc", "-std=c99", "-o", str(tmp_path / "hwnat-run"), source, "-ldl"]
    assert carried_out(argv).returncode == 0
    shutil.copy(litert_tools / "libLiteRt.so", tmp_path)
    with pytest.raises(UsageError, match=r"another version.*hwnat device setup pi --litert PATH"):
        LitertRunner(SPEC).install(LocalTransport(), folder=str(tmp_path), machine=MACHINE)


@pytest.mark.parametrize(
    ("asking", "said"),
    [
        ("hwnat-run", "hwnat-run in .* needs: .*--litert PATH --compiler COMPILER.*distribution"),
        ("libLiteRt.so", "libLiteRt.so in .* needs. .*setup pi --litert PATH, or"),
    ],
)
def test_a_c_library_that_is_too_old_is_said_to_be(asking, said, tmp_path):
    # As glibc's loader puts it.
    words = f"libc.so.6: version `GLIBC_2.34' not found (required by {tmp_path}/{asking})"
    (tmp_path / "hwnat-run").write_text(f"#!/bin/sh\necho {shlex.quote(words)} >&2\nexit 1\n")
    (tmp_path / "hwnat-run").chmod(0o755)
    (tmp_path / "libLiteRt.so").touch()
    with pytest.raises(DeviceError, match=rf"Device pi .* older than 2\.34, .*{said}.*agent"):
        LitertRunner(SPEC).install(LocalTransport(), folder=str(tmp_path), machine=MACHINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "'fly' is nothing it does"),
        (["time", "--model"], "an option without its value"),
        (["time"], "--threads is missing"),
        (["time", "--threads", "one"], "--threads is 'one'; it is a number from 1"),
        (["time", "--threads", "0"], "--threads is '0'"),
        (["time", "--threads", "nan"], "--threads is 'nan'"),
        (["--version", "--library", "/none.so"], "no library /none.so"),
        (["answer", "--model", "/none", "--threads", "1", "--in", "x", "--out", "y"], "no such"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_prints_no_result(words, said, litert_tools):
    done = carried_out([str(litert_tools / "hwnat-run"), *words])
    assert done.returncode == 1
    assert said in done.stderr
    assert "end" not in done.stdout


def test_what_is_no_model_is_refused(litert_tools, tmp_path):
    for bad in (b"", b"\x1c\0\0\0TFL", b"x" * 64):
        (tmp_path / "bad.tflite").write_bytes(bad)
        argv = LitertRunner(SPEC).argv(order(tmp_path / "bad.tflite"), folder=str(litert_tools))
        done = carried_out(argv)
        assert done.returncode == 1, done.stderr[-300:]
        assert f"{tmp_path}/bad.tflite" in done.stderr
        assert "end" not in done.stdout


def test_only_results_go_to_stdout(litert_tools, nano_model):
    argv = LitertRunner(SPEC).argv(order(nano_model()), folder=str(litert_tools))
    done = carried_out(argv)
    assert done.stderr, "the library says nothing: this test shows nothing"
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "hwnat-run",
        "runtime",
        "model_ns",
        "disturbed",
        "end",
    ]


def test_it_is_the_runner_of_tflite_elsewhere_and_refuses_what_it_cannot_do():
    found = get_runner(SPEC)
    assert isinstance(found, LitertRunner)
    assert isinstance(found, Runner)
    assert isinstance(found, Answering)
    for change in ({"delegate": "gpu"}, {"target": "onnx", "runner": "litert"}):
        words = {"name": "pi", "transport": "ssh", "host": "pi", "target": "tflite", **change}
        with pytest.raises(UsageError, match="Device pi: runner 'litert'"):
            get_runner(DeviceSpec(**words))


def test_paths_that_look_like_options_are_not_taken_for_them():
    argv = LitertRunner(SPEC).argv(order("-m.tflite"), folder="tools")
    assert argv[0] == "./tools/hwnat-run"
    assert argv[argv.index("--model") + 1] == "./-m.tflite"
