"""TensorFlow Lite's and LiteRT's runners, in all generations, on small files of our own."""

import subprocess
import sys

import pytest

from hwnat.device.runners.logs import Delegation, Timing, parse_log


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
#: File: tool and generation, and every field that the format fills, operators apart.
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
}  # fmt: skip
OPS["profile_start.csv"] = OPS["profile.csv"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_and_read_to_the_last_field(name, read_log, check_log):
    kind, fields = FORMATS[name]
    log = read_log(name)
    check_log(log, kind, fields)
    found = [
        (op.table, op.table_name, op.node_type, op.name, op.avg_ns, op.cycles) for op in log.ops
    ]
    assert found == OPS.get(name, [])


def test_columns_of_an_operator_table_are_taken_by_their_names(read_log):
    rows = {op.name: op for op in read_log("tf2_profile.txt").ops}
    assert rows["[sum]:2"].times_called == 2
    assert rows["[first]:0"].percent == pytest.approx(67.224)
    assert rows["[flat]:3"].percent == pytest.approx(0.029)


def test_what_is_in_no_field_is_said(read_log):
    assert "Delegate Statistics" in read_log("capi_summary.txt").left_out
    assert read_log("tf1.txt").left_out == ()


def test_windows_and_terminal_line_ends_are_understood(runtime_logs):
    text = (runtime_logs / "tf2_profile.txt").read_text()
    assert parse_log(text.replace("\n", "\r\n")) == parse_log(text)
    assert parse_log(text.replace("\n", "\r\r\n")) == parse_log(text)


def test_an_exit_code_of_zero_is_no_failure(runtime_logs):
    text = (runtime_logs / "tf1.txt").read_text() + "HWNAT_RC=0\n"
    assert parse_log(text).inference.count == 122


def test_the_profile_is_read_as_the_generated_classes_read_it(runtime_logs, read_log):
    """The same bytes through protobuf, the library that the tool writes them with."""
    messages = pytest.importorskip("ai_edge_litert.profiling_info_pb2")
    whole = messages.BenchmarkProfilingData.FromString((runtime_logs / "profile.pb").read_bytes())
    rows = [
        (op.name, op.node_type, op.inference_microseconds, op.times_called)
        for model in (whole.init_profile, whole.runtime_profile)
        for table in (*model.subgraph_profiles, *model.delegate_profiles)
        for op in table.per_op_profiles
    ]
    ops = read_log("profile.pb").ops
    assert [(op.name, op.node_type, op.times_called) for op in ops] == [
        (name, kind, called) for name, kind, _, called in rows
    ]
    for op, (_, _, stat, _) in zip(ops, rows, strict=True):
        assert (op.avg_ns or 0) == 1_000 * stat.sum // stat.count


def test_importing_it_loads_no_runtime():
    heavy = "{'numpy', 'torch', 'google.protobuf', 'ai_edge_litert', 'openvino', 'onnxruntime'}"
    code = f"import sys, hwnat.device.runners.logs; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
