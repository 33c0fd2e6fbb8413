"""Failures, contradictions and strangers: what must never become a record."""

import hashlib

import pytest

from hwnat.device.runners.logs import Delegation, Estimate, OpTime, RuntimeLog, Timing, parse_log
from hwnat.errors import DataError, DeviceError


@pytest.mark.parametrize("name", ["vela_cpu.txt", "vela_summary_cpu.csv"])
def test_a_network_that_vela_leaves_on_the_cpu_is_refused(name, read_log):
    with pytest.raises(DeviceError, match=r"every operator on the CPU.*--to ethosu"):
        read_log(name)


def test_layers_that_are_all_on_the_cpu_are_refused(runtime_logs):
    head = (runtime_logs / "vela_layers.csv").read_text().split("\n")[0]
    row = "Conv2D,Passthrough,CPU,0,NaN,0,100,0,0,0,0,0,0,100,100,conv"
    with pytest.raises(DeviceError, match="every operator on the CPU"):
        parse_log(f"{head}\n{row}\n")


FAILURES = [
    ("ERROR: Benchmarking failed.", "gave up", "device doctor"),
    ("ERROR: Failed to load model /data/local/tmp/net.tflite", "does not read the model", "update"),
    ("ERROR: Disallowed CPU fallback detected.", "does not take every operator", "on its CPU"),
    ('CANNOT LINK EXECUTABLE "./benchmark_model": library "libc++_shared.so" not found',
     "misses a library", "device setup"),
    ("/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file", "another processor",
     "device setup"),
    ("bash: ./benchmark_model: cannot execute binary file: Exec format error",
     "another processor", "device setup"),
    ("/system/bin/sh: ./benchmark_model: inaccessible or not found", "not on the device",
     "device setup"),
    ("sh: 1: ./benchmark_model: Permission denied", "noexec", "another folder"),
    ("Killed ", "want of memory", "smaller network"),
    ("bash: line 1: 4242 Killed                  ./benchmark_model", "want of memory", "smaller"),
    ("Segmentation fault", "crashed", "without its delegate"),
    ("write: No space left on device", "storage is full", "free space"),
    ("Traceback (most recent call last):", "exception", "device doctor"),
    ("HWNAT_RC=126", "cannot execute", "device setup"),
    ("HWNAT_RC=137", "want of memory", "smaller network"),
    ("HWNAT_RC=3", "it failed", "device doctor"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "cause", "remedy"), FAILURES)
def test_a_failure_names_its_cause_and_the_next_step(line, cause, remedy, runtime_logs):
    """Even below figures that look complete."""
    whole = (runtime_logs / "tf1.txt").read_text()
    for text in (f"{line}\n", f"STARTING!\n{line}\n", f"{whole}{line}\n"):
        with pytest.raises(DeviceError, match=cause) as raised:
            parse_log(text, where="pixel6")
        assert "pixel6" in str(raised.value)
        assert remedy in str(raised.value)


def test_the_cause_is_reported_before_the_sentence_that_follows_it():
    text = "STARTING!\nERROR: Benchmarking failed.\nERROR: Failed to load model x.tflite\n"
    with pytest.raises(DeviceError, match="does not read the model"):
        parse_log(text)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tf1.txt", "min=8090", "min=0"),
        ("tf1.txt", "avg=8210.25", "avg=nan"),
        ("tf1.txt", "avg=8210.25", "avg=-8210.25"),
        ("tf1.txt", "no stats: 8210.25", "no stats: 8211.25"),
        ("tf1.txt", "3.207ms", "3.208ms"),
        ("tf1.txt", "max=8402", "max=8102"),
        ("tf2_profile.txt", "First inference: 4300", "First inference: 4200"),
        ("tf2_profile.txt", "    0.255\t", "    0.355\t"),
        ("tf2_profile.txt", "5 nodes observed", "6 nodes observed"),
        ("tf2_profile.txt", "[avg ms]", "[avg us]"),
        ("profile.csv", "%, cdf%", "%, c%"),
        ("litert_gpu_full.txt", "avg): 1.9e+06", "avg): 1.9e+36"),
        ("litert_gpu_full.txt", "completely", "entirely"),
        ("litert_model.txt", "2.19 ms", "0.00 ms"),
        ("litert_model.txt", "2.25 ms", "2.25 us"),
        ("litert_benchmark.json", '"avg_ms": 2.31', '"avg_ms": 0'),
        ("litert_benchmark.json", '"avg_ms": 2.31', '"avg_ms": NaN'),
        ("litert_benchmark.json", '"avg_ms": 2.31', '"avg_us": 2.31'),
        ("openvino.txt", "Average:       3.08 ms", "Average:       3.98 ms"),
        ("openvino.txt", "320.00 FPS", "420.00 FPS"),
        ("openvino.json", '"3.02"', '"0.00"'),
        ("openvino_counters.json", '"0.812"', '"0.712"'),
        ("ort.txt", "0.802010 ms", "0.902010 ms"),
        ("ort.txt", "0.0401005 s", "0.0401005 ms"),
        ("ort.txt", "Runs:50", "Runs:40"),
        ("ncnn.txt", "12.61", "13.61"),
        ("qnn.csv", "2200,US", "2200,MS"),
        ("qnn.csv", "2200,US", "0,US"),
        ("qnn.csv", "300000,CYCLES", "500000,CYCLES"),
        ("rknn.txt", "900/4096/4096", "900/4096/9096"),
        ("rknn.txt", "2    Add ", "3    Add "),
        ("scalesim.csv", "0, 1500, 1000,", "0, 1500, 2000,"),
        ("scalesim.csv", "0, 1500, 1000,", "0, 1500, 0,"),
        ("vela_layers.csv", "12500,25.0", "13500,25.0"),
        ("vela_layers.csv", ",stem\nConv2D,Relu6", ",stem*Conv2D,Relu6"),
        ("vela_summary.csv", ",5e-05,", ",6e-05,"),
        ("vela_summary.csv", "1000000000.0", "500000000.0"),
        ("vela.txt", "(12.5%)", "(22.5%)"),
        ("vela.txt", "0.05 ms", "0.15 ms"),
    ],
)
def test_figures_that_contradict_each_other_are_refused(name, old, new, runtime_logs, read_log):
    text = (runtime_logs / name).read_bytes().decode()
    assert old in text
    with pytest.raises(DataError, match=rf"^{name}: "):
        read_log(name, text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("tf2_profile.txt", "executed: 5"),
        ("tf2_profile.txt", "count=20"),
        ("litert_benchmark.json", '"num_runs": 25'),
        ("litert_benchmark.json", '"avg_ms": 2'),
        ("openvino.txt", "Count:            40"),
        ("rknn.txt", "900/4096"),
        ("vela.txt", "CPU operators = 2"),
        ("vela_summary.csv", "1000000000"),
        ("vela_layers.csv", ",30000,"),
        ("qnn.csv", "15000"),
    ],
)
@pytest.mark.parametrize("digits", [25, 400, 5_000])
def test_numbers_without_end_are_refused(name, old, digits, runtime_logs, read_log):
    text = (runtime_logs / name).read_bytes().decode()
    assert old in text
    grown = old.rstrip(",") + "9" * digits + ("," if old.endswith(",") else "")
    with pytest.raises(DataError, match=rf"^{name}: "):
        read_log(name, text.replace(old, grown, 1))


def test_layers_that_take_no_cycles_are_refused(runtime_logs):
    head = (runtime_logs / "vela_layers.csv").read_text().split("\n")[0]
    row = "Conv2D,Conv2D,NPU,64,1.5,0,100,0,0,0,0,0,0,100,100,conv"
    with pytest.raises(DataError, match="take 0 % of the cycles"):
        parse_log(f"{head}\n{row}\n")


def test_two_networks_in_one_log_are_refused(runtime_logs):
    ncnn = (runtime_logs / "ncnn.txt").read_text()
    with pytest.raises(DataError, match="of 2 networks"):
        parse_log(ncnn + ncnn.splitlines(keepends=True)[-1])
    tf1 = (runtime_logs / "tf1.txt").read_text()
    with pytest.raises(DataError, match="several runs"):
        parse_log(tf1 + tf1)


def test_escape_sequences_are_refused_and_not_repeated(runtime_logs):
    text = (runtime_logs / "tf2_profile.txt").read_text().replace("[sum]", "[\x1b]0;gone\x07sum]")
    with pytest.raises(DataError, match="line 44 of the output holds") as raised:
        parse_log(text)
    assert "\x1b" not in str(raised.value)


def test_another_tool_than_the_one_named_is_refused(read_log):
    assert read_log("ncnn.txt", tool="benchncnn").inference.count == 4
    with pytest.raises(DataError, match="output of benchncnn, not of benchmark_model"):
        read_log("ncnn.txt", tool="benchmark_model")


def test_fewer_runs_than_were_asked_for_are_refused(read_log):
    assert read_log("tf1.txt", expected=122).inference.count == 122
    with pytest.raises(DataError, match="122 runs, 200 were asked for"):
        read_log("tf1.txt", expected=200)


def test_a_report_without_an_end_needs_the_number_of_layers(runtime_logs):
    text = (runtime_logs / "scalesim.csv").read_text()
    with pytest.raises(DataError, match="pass the number of layers"):
        parse_log(text)
    with pytest.raises(DataError, match="2 layers, the model has 3"):
        parse_log(text, expected=3)


def test_the_devices_own_hash_finds_a_change_that_the_text_does_not_show(runtime_logs):
    raw = (runtime_logs / "tf1.txt").read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    assert parse_log(raw, sha256=digest) == parse_log(raw.decode(), sha256=digest.upper())
    changed = raw.replace(b"count=122", b"count=222")
    assert parse_log(changed).inference.count == 222
    with pytest.raises(DataError, match="another SHA-256"):
        parse_log(changed, sha256=digest)


@pytest.mark.parametrize("raw", ["", b"", "hello\n", "{}", "[1, 2]\n", b"\xff\xfe", b"\x12\x00"])
def test_what_no_runner_prints_is_refused(raw):
    with pytest.raises(DataError, match=r"^here: "):
        parse_log(raw, where="here")


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (Timing, {"count": 3}),
        (Timing, {"avg_ns": 0}),
        (Timing, {"avg_ns": 5, "min_ns": 6}),
        (Timing, {"median_ns": 9, "p95_ns": 8}),
        (Timing, {"avg_ns": 5, "count": 0}),
        (Timing, {"min_ns": 10**6, "avg_ns": 10**6, "max_ns": 10**6 + 1, "std_ns": 10**6}),
        (OpTime, {"table": "run", "node_type": "A", "name": "a", "avg_ns": 0}),
        (OpTime, {"table": "run", "node_type": "A", "name": "a", "percent": float("nan")}),
        (OpTime, {"table": "run", "node_type": "A", "name": "a", "cycles": -1}),
        (Delegation, {"name": "GPU", "extent": "full", "cpu_operators": 2}),
        (Estimate, {"cycles": 0}),
        (Estimate, {"cycles": 5, "latency_ns": 5}),
        (RuntimeLog, {"tool": "t", "generation": "g"}),
        (RuntimeLog, {"tool": "t", "generation": "g", "estimate": Estimate(cycles=1),
                      "init_ns": 0}),
    ],
)  # fmt: skip
def test_records_refuse_nonsense(record, fields):
    with pytest.raises(DataError):
        record(**fields)
