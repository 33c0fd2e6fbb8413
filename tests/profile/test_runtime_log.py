"""Every format of runner output, from small files of our own in `tests/data/runtime_logs`."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from hwnat.errors import DataError, DeviceError
from hwnat.profile.runtime_log import Delegation, Estimate, OpTime, Timing, parse_log
from hwnat.profile.runtime_log.record import RuntimeLog

DATA = Path(__file__).parents[1] / "data" / "runtime_logs"
#: Files whose layers or runs the caller must or may count.
LAYERS = {"scalesim.csv": 2}


def read(name, **options):
    options.setdefault("expected", LAYERS.get(name))
    return parse_log((DATA / name).read_bytes(), where=name, **options)


def timing(count, least, average, most, **more):
    return Timing(count=count, min_ns=least, avg_ns=average, max_ns=most, **more)


def same(count, ns):
    return timing(count, ns, ns, ns, median_ns=ns, p95_ns=ns)


TF2 = timing(20, 998_000, 1_009_250, 1_033_000, std_ns=9_000)
TF2_WARM = timing(12, 1_004_000, 1_290_500, 4_300_000, std_ns=901_000)
LITERT = timing(
    20, 998_000, 1_009_250, 1_033_000, std_ns=9_000, median_ns=1_008_000, p95_ns=1_031_000
)
LITERT_WARM = timing(
    12, 1_004_000, 1_290_500, 4_300_000, std_ns=901_000, median_ns=1_012_000, p95_ns=4_300_000
)
PROFILED = timing(20, 1_023_000, 1_043_380, 1_074_000, std_ns=11_000)
FOOTPRINT = {"init_memory_bytes": 2_621_440, "overall_memory_bytes": 7_602_176}
OPENVINO = {
    "inference": timing(40, 2_950_000, 3_080_000, 4_400_000, median_ns=3_020_000),
    "init_ns": 70_750_000,
    "first_ns": 6_100_000,
}
U65 = Estimate(cycles=50_000, clock_hz=1_000_000_000, latency_ns=50_000)

#: File, tool, generation, and every field that the format fills, operators apart.
FORMATS = {
    "tf1.txt": (
        ("benchmark_model", "tf1"),
        {
            "inference": timing(122, 8_090_000, 8_210_250, 8_402_000, std_ns=52_000),
            "warmup": timing(61, 8_111_000, 8_244_500, 9_120_000, std_ns=160_000),
            "init_ns": 3_207_000,
        },
    ),
    "tf2_profile.txt": (
        ("benchmark_model", "tf2"),
        {
            "inference": TF2,
            "warmup": TF2_WARM,
            "profiled": PROFILED,
            "init_ns": 1_911_000,
            "first_ns": 4_300_000,
            **FOOTPRINT,
        },
    ),
    "litert_profile.txt": (
        ("benchmark_model", "litert"),
        {
            "inference": LITERT,
            "warmup": LITERT_WARM,
            "profiled": timing(20, 539_000, 559_100, 590_000, std_ns=11_000),
            "init_ns": 12_505_000,
            "first_ns": 4_300_000,
            "delegates": (Delegation(name="XNNPACK", extent="partial", kernels=2),),
            **FOOTPRINT,
        },
    ),
    "litert_gpu_full.txt": (
        ("benchmark_model", "litert"),
        {
            "inference": same(20, 1_900_000_000),
            "warmup": same(1, 2_000_123_000),
            "init_ns": 1_502_331_000,
            "first_ns": 2_000_123_000,
            "delegates": (Delegation(name="GPU", extent="full"),),
            "peak_memory_bytes": 101_187_584,
            **FOOTPRINT,
        },
    ),
    "litert_none.txt": (
        ("benchmark_model", "litert"),
        {
            "inference": LITERT,
            "init_ns": 900_000,
            "delegates": (Delegation(name="NNAPI", extent="none", kernels=0),),
            **FOOTPRINT,
        },
    ),
    "profile_start.csv": (("benchmark_model", "csv-start"), {"profiled": PROFILED}),
    "profile.csv": (("benchmark_model", "csv"), {"profiled": PROFILED}),
    "capi_summary.txt": (("litert-profiler", "litert-capi"), {}),
    "profile.pb": (("benchmark_model", "profile-pb"), {}),
    "result.pb": (
        ("benchmark_model", "result-pb"),
        {
            "inference": timing(
                40,
                3_100_000,
                3_250_000,
                3_875_000,
                std_ns=62_500,
                median_ns=3_200_000,
                p95_ns=3_750_000,
            ),
            "warmup": Timing(count=7, avg_ns=3_500_000),
            "init_ns": 12_500_000,
            "first_ns": 6_500_000,
            "init_memory_bytes": 2_097_152,
            "overall_memory_bytes": 4_194_304,
            "peak_memory_bytes": 35_127_296,
        },
    ),
    "litert_model.txt": (
        ("benchmark_litert_model", "litert"),
        {
            "inference": timing(64, 2_190_000, 2_250_000, 3_400_000, std_ns=110_000),
            "warmup": Timing(count=31, avg_ns=2_500_000),
            "init_ns": 40_120_000,
            "first_ns": 7_010_000,
            "init_memory_bytes": 21_495_808,
            "overall_memory_bytes": 22_282_240,
            "peak_memory_bytes": 47_972_352,
        },
    ),
    "litert_benchmark.json": (
        ("litert-benchmark", "json"),
        {
            "inference": timing(
                25,
                2_200_000,
                2_310_000,
                2_900_000,
                std_ns=140_000,
                median_ns=2_280_000,
                p95_ns=2_600_000,
            ),
            "warmup": Timing(count=3, avg_ns=4_750_000),
            "init_ns": 55_500_000,
            "first_ns": 9_250_000,
            "delegates": (Delegation(name="CPU", extent="partial"),),
        },
    ),
    "openvino.txt": (("benchmark_app", "text"), OPENVINO),
    "openvino.json": (("benchmark_app", "json"), OPENVINO),
    "openvino_counters.json": (("benchmark_app", "counters"), {}),
    "ort.txt": (
        ("onnxruntime_perf_test", "text"),
        {
            "inference": timing(
                50, 780_000, 802_010, 911_000, median_ns=799_000, p95_ns=833_000
            ),
            "init_ns": 21_500_000,
            "peak_memory_bytes": 20_971_520,
        },
    ),
    "ncnn.txt": (
        ("benchncnn", "text"),
        {"inference": timing(4, 12_500_000, 12_610_000, 12_750_000)},
    ),
    "qnn.csv": (
        ("qnn-profile", "csv"),
        {
            "inference": timing(3, 2_000_000, 2_100_000, 2_200_000, median_ns=2_100_000),
            "init_ns": 15_000_000,
        },
    ),
    "rknn.txt": (
        ("rknn-build", "table"),
        {
            "estimate": Estimate(cycles=7_096),
            "delegates": (
                Delegation(name="RKNPU", extent="full", cpu_operators=0, cpu_percent=0.0),
            ),
        },
    ),
    "scalesim.csv": (("scalesim", "csv"), {"estimate": Estimate(cycles=4_000)}),
    "vela_layers.csv": (
        ("vela", "per-layer-csv"),
        {
            "estimate": Estimate(cycles=50_000),
            "delegates": (Delegation(name="Ethos-U", extent="partial", cpu_operators=1),),
        },
    ),
    "vela_summary.csv": (
        ("vela", "summary-csv"),
        {
            "estimate": U65,
            "device": "Ethos_U65_512, Ethos_U65_High_End",
            "peak_memory_bytes": 98_816,
        },
    ),
    "vela.txt": (
        ("vela", "text"),
        {
            "estimate": U65,
            "device": "Ethos_U65_512, Ethos_U65_High_End",
            "peak_memory_bytes": 98_816,
            "delegates": (
                Delegation(
                    name="Ethos_U65_512", extent="partial", cpu_operators=2, cpu_percent=12.5
                ),
            ),
        },
    ),
}
#: Of each file with operators: table and its name, type, name, nanoseconds, cycles.
OPS = {
    "tf2_profile.txt": [
        ("init", None, "AllocateTensors", "AllocateTensors/0", 640_000, None),
        ("run", None, "CONV_2D", "[first]:0", 701_000, None),
        ("run", None, "DEPTHWISE_CONV_2D", "[dw, left]:1", 255_000, None),
        ("run", None, "ADD", "[sum]:2", 42_000, None),
        ("run", None, "RESHAPE", "[flat]:3", None, None),
        ("run", None, "SOFTMAX", "[out]:4", 3_000, None),
    ],
    "litert_profile.txt": [
        ("init", None, "AllocateTensors", "AllocateTensors/0", 640_000, None),
        ("run", None, "Convolution (NHWC, F32) IGEMM",
         "Delegate/Convolution (NHWC, F32) IGEMM:0", 411_000, None),
        ("run", None, "Fully Connected (NC, F32) GEMM",
         "Delegate/Fully Connected (NC, F32) GEMM:1", 88_000, None),
        ("run", None, "WHILE", "[loop]:7", 60_000, None),
        ("subgraph", "body", "MUL", "[x]:0", 12_000, None),
        ("subgraph", "body", "SUB", "[y]:1", 5_000, None),
        ("delegate", None, "Sigmoid (NC, F32)", "Sigmoid (NC, F32):0", 20_000, None),
    ],
    "profile.csv": [
        ("init", None, "AllocateTensors", "AllocateTensors/0", 640_000, None),
        ("run", None, "CONV_2D", "[first]:0", 701_400, None),
        ("run", None, "DEPTHWISE_CONV_2D", "[dw, left]:1", 255_080, None),
        ("run", None, "ADD", "[sum]:2", 41_700, None),
        ("run", None, "RESHAPE", "[flat]:3", 300, None),
        ("run", None, "SOFTMAX", "[out]:4", 3_200, None),
    ],
    "capi_summary.txt": [
        ("run", None, "Delegate/Convolution (NHWC, QC8) IGEMM", "[Delegate]:0", 5_000_000, None),
        ("run", None, "Delegate/Add (ND)", "[Delegate]:1", 30_000, None),
        ("run", None, "SOFTMAX", "[Builtin]:2", 210_000, None),
    ],
    "profile.pb": [
        ("init", "main", "AllocateTensors", "AllocateTensors/0", 640_000, None),
        ("run", "main", "CONV_2D", "[first]:0", 701_500, None),
        ("run", "main", "RESHAPE", "[flat]:1", 150, None),
        ("run", "main", "ADD", "[none]:2", None, None),
        ("delegate", "XNNPACK", "Add (ND)", "Add (ND):0", 40_000, None),
    ],
    "openvino_counters.json": [
        ("run", None, "Parameter", "x", None, None),
        ("run", None, "Convolution", "c", 812_000, None),
        ("run", None, "Relu", "r", None, None),
        ("run", None, "FullyConnected", "y", 31_000, None),
    ],
    "qnn.csv": [
        ("run", None, "Input OpId_2", "Input OpId_2", None, 1_100),
        ("run", None, "conv0", "conv0:OpId_9", None, 305_000),
        ("run", None, "bias_token", "bias_token:OpId_10", None, None),
    ],
    "rknn.txt": [
        ("run", None, "InputOperator", "InputOperator:x", None, None),
        ("run", None, "ConvRelu", "Conv:c0", None, 4_096),
        ("run", None, "Add", "Add:a0", None, 3_000),
        ("run", None, "OutputOperator", "OutputOperator:y", None, None),
    ],
    "scalesim.csv": [
        ("run", None, "layer", "0", None, 1_000),
        ("run", None, "layer", "1", None, 3_000),
    ],
    "vela_layers.csv": [
        ("run", None, "Conv2D/Conv2D", "stem", None, 30_000),
        ("run", None, "Conv2D/Relu6", "stem", None, None),
        ("run", None, "Add/Add", "sum", None, 12_500),
        ("run", None, "Custom/Passthrough", "odd", None, None),
        ("run", None, "FullyConnected/FullyConnected", "logits", None, 7_500),
    ],
}  # fmt: skip
OPS["profile_start.csv"] = OPS["profile.csv"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_and_read_to_the_last_field(name):
    (tool, generation), fields = FORMATS[name]
    log = read(name)
    assert (log.tool, log.generation) == (tool, generation)
    for field in RuntimeLog.__dataclass_fields__:
        if field not in ("tool", "generation", "ops", "left_out"):
            default = RuntimeLog.__dataclass_fields__[field].default
            assert getattr(log, field) == fields.get(field, default), field
    found = [
        (op.table, op.table_name, op.node_type, op.name, op.avg_ns, op.cycles) for op in log.ops
    ]
    assert found == OPS.get(name, [])


def test_every_recorded_file_is_expected():
    cpu_only = {"vela_cpu.txt", "vela_summary_cpu.csv"}
    assert {path.name for path in DATA.iterdir()} == set(FORMATS) | cpu_only


def test_columns_of_an_operator_table_are_taken_by_their_names():
    rows = {op.name: op for op in read("tf2_profile.txt").ops}
    assert rows["[sum]:2"].times_called == 2
    assert rows["[first]:0"].percent == pytest.approx(67.224)
    assert rows["[flat]:3"].percent == pytest.approx(0.029)


def test_what_is_in_no_field_is_said():
    assert "Delegate Statistics" in read("capi_summary.txt").left_out
    assert read("tf1.txt").left_out == ()


def test_an_rknn_layer_on_the_cpu_is_partial_delegation():
    text = (DATA / "rknn.txt").read_text().replace(
        "Add                INT8     NPU    ", "Add                INT8     CPU    "
    )
    (delegation,) = parse_log(text).delegates
    assert (delegation.extent, delegation.cpu_operators, delegation.cpu_percent) == (
        "partial", 1, 50.0
    )  # fmt: skip


@pytest.mark.parametrize("name", ["vela_cpu.txt", "vela_summary_cpu.csv"])
def test_a_network_that_vela_leaves_on_the_cpu_is_refused(name):
    with pytest.raises(DeviceError, match="every operator on the CPU.*--precision int8"):
        read(name)


def test_layers_that_are_all_on_the_cpu_are_refused():
    head = (DATA / "vela_layers.csv").read_text().split("\n")[0]
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
def test_a_failure_names_its_cause_and_the_next_step(line, cause, remedy):
    """Even below figures that look complete."""
    whole = (DATA / "tf1.txt").read_text()
    for text in (f"{line}\n", f"STARTING!\n{line}\n", f"{whole}{line}\n"):
        with pytest.raises(DeviceError, match=cause) as raised:
            parse_log(text, where="pixel6")
        assert "pixel6" in str(raised.value)
        assert remedy in str(raised.value)


def test_the_cause_is_reported_before_the_sentence_that_follows_it():
    text = "STARTING!\nERROR: Benchmarking failed.\nERROR: Failed to load model x.tflite\n"
    with pytest.raises(DeviceError, match="does not read the model"):
        parse_log(text)


def test_an_exit_code_of_zero_is_no_failure():
    text = (DATA / "tf1.txt").read_text() + "HWNAT_RC=0\n"
    assert parse_log(text).inference.count == 122


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
        ("vela_summary.csv", ",5e-05,", ",6e-05,"),
        ("vela_summary.csv", "1000000000.0", "500000000.0"),
        ("vela.txt", "(12.5%)", "(22.5%)"),
        ("vela.txt", "0.05 ms", "0.15 ms"),
    ],
)
def test_figures_that_contradict_each_other_are_refused(name, old, new):
    text = (DATA / name).read_bytes().decode()
    assert old in text
    with pytest.raises(DataError, match=f"^{name}: "):
        parse_log(text.replace(old, new), where=name, expected=LAYERS.get(name))


def test_two_networks_in_one_log_are_refused():
    ncnn = (DATA / "ncnn.txt").read_text()
    with pytest.raises(DataError, match="of 2 networks"):
        parse_log(ncnn + ncnn.splitlines(keepends=True)[-1])
    tf1 = (DATA / "tf1.txt").read_text()
    with pytest.raises(DataError, match="several runs"):
        parse_log(tf1 + tf1)


def test_windows_and_terminal_line_ends_are_understood():
    text = (DATA / "tf2_profile.txt").read_text()
    assert parse_log(text.replace("\n", "\r\n")) == parse_log(text)
    assert parse_log(text.replace("\n", "\r\r\n")) == parse_log(text)


def test_escape_sequences_are_refused_and_not_repeated():
    text = (DATA / "tf2_profile.txt").read_text().replace("[sum]", "[\x1b]0;gone\x07sum]")
    with pytest.raises(DataError, match="line 44 of the output holds") as raised:
        parse_log(text)
    assert "\x1b" not in str(raised.value)


def test_another_tool_than_the_one_named_is_refused():
    assert read("ncnn.txt", tool="benchncnn").inference.count == 4
    with pytest.raises(DataError, match="output of benchncnn, not of benchmark_model"):
        read("ncnn.txt", tool="benchmark_model")


def test_fewer_runs_than_were_asked_for_are_refused():
    assert read("tf1.txt", expected=122).inference.count == 122
    with pytest.raises(DataError, match="122 runs, 200 were asked for"):
        read("tf1.txt", expected=200)


def test_a_report_without_an_end_needs_the_number_of_layers():
    text = (DATA / "scalesim.csv").read_text()
    with pytest.raises(DataError, match="pass the number of layers"):
        parse_log(text)
    with pytest.raises(DataError, match="2 layers, the model has 3"):
        parse_log(text, expected=3)


def test_the_devices_own_hash_finds_a_change_that_the_text_does_not_show():
    raw = (DATA / "tf1.txt").read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    assert parse_log(raw, sha256=digest) == parse_log(raw.decode(), sha256=digest.upper())
    changed = raw.replace(b"count=122", b"count=222")
    assert parse_log(changed).inference.count == 222
    with pytest.raises(DataError, match="another SHA-256"):
        parse_log(changed, sha256=digest)


@pytest.mark.parametrize("raw", ["", b"", "hello\n", "{}", "[1, 2]\n", b"\xff\xfe", b"\x12\x00"])
def test_what_no_runner_prints_is_refused(raw):
    with pytest.raises(DataError, match="^here: "):
        parse_log(raw, where="here")


def test_the_profile_is_read_as_the_generated_classes_read_it():
    """The same bytes through protobuf, the library that the tool writes them with."""
    messages = pytest.importorskip("ai_edge_litert.profiling_info_pb2")
    whole = messages.BenchmarkProfilingData.FromString((DATA / "profile.pb").read_bytes())
    rows = [
        (op.name, op.node_type, op.inference_microseconds, op.times_called)
        for model in (whole.init_profile, whole.runtime_profile)
        for table in (*model.subgraph_profiles, *model.delegate_profiles)
        for op in table.per_op_profiles
    ]
    ops = read("profile.pb").ops
    assert [(op.name, op.node_type, op.times_called) for op in ops] == [
        (name, kind, called) for name, kind, _, called in rows
    ]
    for op, (_, _, stat, _) in zip(ops, rows, strict=True):
        assert (op.avg_ns or 0) == 1_000 * stat.sum // stat.count


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


def test_importing_it_loads_no_runtime():
    heavy = "{'numpy', 'torch', 'google.protobuf', 'ai_edge_litert', 'openvino', 'onnxruntime'}"
    code = f"import sys, hwnat.profile.runtime_log; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
