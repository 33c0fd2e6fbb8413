"""Published outputs of the genuine tools; skipped where the folder is not at hand."""

import pytest

from hwnat.device.runners.logs import Delegation, Estimate, Timing


def timing(count, least, average, most, **more):
    return Timing(count=count, min_ns=least, avg_ns=average, max_ns=most, **more)


def same(count, ns):
    return timing(count, ns, ns, ns, median_ns=ns, p95_ns=ns)


RUNS = {"count": 50, "min_ns": 4_904_000, "avg_ns": 5_069_460, "max_ns": 5_224_000}
WARM = {"count": 91, "min_ns": 4_590_000, "avg_ns": 5_156_010, "max_ns": 8_105_000}
FIRST = {"init_ns": 2_213_000, "first_ns": 8_105_000}
FOOTPRINT = {"init_memory_bytes": 1_744_893, "overall_memory_bytes": 5_492_735}
PROFILED = timing(50, 4_846_000, 5_009_700, 5_158_000, std_ns=69_000)
OPENVINO = {
    "inference": timing(20, 2_090_000, 2_180_000, 2_460_000, median_ns=2_150_000),
    "init_ns": 126_700_000,
    "first_ns": 4_840_000,
}
LOGS = {
    "bm_tf1.14.txt": (
        ("benchmark_model", "tf1"),
        {
            "inference": Timing(**RUNS, std_ns=71_000),
            "warmup": Timing(**WARM, std_ns=348_000),
            "init_ns": 4_183_000,
        },
    ),
    "bm_tf2.4_opprofile.txt": (
        ("benchmark_model", "tf2"),
        {
            "inference": Timing(**RUNS, std_ns=71_000),
            "warmup": Timing(**WARM, std_ns=348_000),
            "profiled": PROFILED,
            **FIRST,
            **FOOTPRINT,
        },
    ),
    "bm_litert2_xnnpack_opprofile.txt": (
        ("benchmark_model", "litert"),
        {
            "inference": Timing(**RUNS, std_ns=71_000, median_ns=5_071_000, p95_ns=5_179_000),
            "warmup": Timing(**WARM, std_ns=348_000, median_ns=5_124_000, p95_ns=5_449_000),
            "profiled": timing(50, 1_442_000, 1_477_760, 1_516_000, std_ns=20_000),
            "delegates": (Delegation(name="XNNPACK", extent="partial", kernels=1),),
            **FIRST,
            **FOOTPRINT,
        },
    ),
    "bm_litert2_gpu_partial_slow.txt": (
        ("benchmark_model", "litert"),
        {
            "inference": timing(
                3,
                2_310_044_000,
                2_352_280_000,
                2_401_122_000,
                std_ns=37_474_000,
                median_ns=2_345_678_000,
                p95_ns=2_401_122_000,
            ),
            "warmup": same(1, 3_456_789_000),
            "init_ns": 870_557_000,
            "first_ns": 3_456_789_000,
            "delegates": (Delegation(name="GPU", extent="partial", kernels=1, cpu_operators=4),),
            "init_memory_bytes": 118_231_138,
            "overall_memory_bytes": 137_367_650,
            "peak_memory_bytes": 166_059_835,
        },
    ),
    "litert_capi_profile_arm64.txt": (
        ("benchmark_model", "litert-capi"),
        {
            "inference": timing(
                5,
                18_316_000,
                20_036_800,
                23_941_000,
                std_ns=2_089_000,
                median_ns=19_114_000,
                p95_ns=23_941_000,
            ),
            "warmup": same(1, 80_836_000),
            "init_ns": 218_149_000,
            "first_ns": 80_836_000,
            "init_memory_bytes": 99_618_809,
            "overall_memory_bytes": 99_618_809,
        },
    ),
    "bm_old_profile.csv": (("benchmark_model", "csv-start"), {"profiled": PROFILED}),
    "bm_new_profile.csv": (("benchmark_model", "csv"), {"profiled": PROFILED}),
    "bm_op_profile.pb": (("benchmark_model", "profile-pb"), {}),
    "bm_result.pb": (
        ("benchmark_model", "result-pb"),
        {
            "inference": Timing(**RUNS, median_ns=5_071_000, p95_ns=5_179_000),
            "warmup": Timing(count=91, avg_ns=5_156_011),
            "init_memory_bytes": 1_744_896,
            "overall_memory_bytes": 5_492_736,
            **FIRST,
        },
    ),
    "benchmark_litert_model.stderr.txt": (
        ("benchmark_litert_model", "litert"),
        {
            "inference": timing(154, 450_000, 490_000, 670_000, std_ns=40_000),
            "warmup": Timing(count=746, avg_ns=500_000),
            "init_ns": 81_970_000,
            "first_ns": 4_930_000,
            "init_memory_bytes": 12_939_428,
            "overall_memory_bytes": 13_683_917,
        },
    ),
    "litert_benchmark_py.json": (
        ("litert-benchmark", "json"),
        {
            "inference": timing(
                5, 110_000, 150_000, 250_000, std_ns=60_000, median_ns=130_000, p95_ns=230_000
            ),
            "warmup": Timing(count=1, avg_ns=8_230_000),
            "init_ns": 301_160_000,
            "first_ns": 8_230_000,
            "delegates": (Delegation(name="GPU|CPU", extent="full"),),
        },
    ),
    "openvino_benchmark_app.txt": (("benchmark_app", "text"), OPENVINO),
    "openvino_benchmark_report.json": (("benchmark_app", "json"), OPENVINO),
    "benchmark_detailed_counters_report.json": (("benchmark_app", "counters"), {}),
    "ort_perf_test.txt": (
        ("onnxruntime_perf_test", "text"),
        {
            "inference": timing(
                100, 1_834_040, 1_857_390, 1_903_120, median_ns=1_856_740, p95_ns=1_873_930
            ),
            "init_ns": 10_201_600,
            "first_ns": 2_000_000,
            "peak_memory_bytes": 36_696_064,
        },
    ),
    "benchncnn.stderr.txt": (
        ("benchncnn", "text"),
        {"inference": timing(8, 8_840_000, 8_870_000, 8_890_000)},
    ),
    "qnn_htp_emulator_profile.csv": (
        ("qnn-profile", "csv"),
        {
            "inference": timing(2, 102_773_000, 105_147_500, 107_522_000, median_ns=105_147_500),
            "init_ns": 26_349_000,
        },
    ),
    "rknn_build_rk3588_cycles.txt": (
        ("rknn-build", "table"),
        {
            "estimate": Estimate(cycles=261_680),
            "delegates": (
                Delegation(name="RKNPU", extent="partial", cpu_operators=1, cpu_percent=100 / 9),
            ),
        },
    ),
    "scalesim_COMPUTE_REPORT.csv": (("scalesim", "csv"), {"estimate": Estimate(cycles=8_485)}),
    "vela_per-layer.csv": (("vela", "per-layer-csv"), {"estimate": Estimate(cycles=238_132)}),
    "vela_summary.csv": (
        ("vela", "summary-csv"),
        {
            "estimate": Estimate(cycles=238_132, clock_hz=500_000_000, latency_ns=476_264),
            "device": "Ethos_U55_128, Ethos_U55_High_End_Embedded",
            "peak_memory_bytes": 111_088,
        },
    ),
}
#: File: how many rows of each table; total of the printed times or cycles; some rows.
OPS = {
    "bm_tf2.4_opprofile.txt": (
        {"init": 1, "run": 12},
        6_220_000,
        {"[b0_dw]:1": 819_000, "[logits]:10": 4_000, "[flat]:9": None},
    ),
    "bm_litert2_xnnpack_opprofile.txt": (
        {"init": 2, "run": 9},
        3_381_000,
        {"Delegate/Convolution (NHWC, F32) IGEMM:0": 522_000, "Delegate/Add (ND):3": 50_000},
    ),
    "litert_capi_profile_arm64.txt": ({"run": 20}, 19_054_000, {"[Builtin]:16": 295_000}),
    "bm_old_profile.csv": (
        {"init": 1, "run": 12},
        6_219_700,
        {"[b0_add]:3": 309_440, "[flat]:9": 380},
    ),
    "bm_new_profile.csv": ({"init": 1, "run": 12}, 6_219_700, {"[a,b]:3": 309_440}),
    "bm_op_profile.pb": ({"run": 12}, 5_009_700, {"[stem]:0": 1_894_800, "[flat]:9": 380}),
    "benchmark_detailed_counters_report.json": (
        {"run": 18},
        2_221_000,
        {"conv3": 761_000, "relu3": None},
    ),
    "qnn_htp_emulator_profile.csv": (
        {"run": 17},
        15_003_424,
        {"relu3:OpId_53": 2_915_405, "conv0_token_1:OpId_22": None},
    ),
    "rknn_build_rk3588_cycles.txt": (
        {"run": 11},
        261_680,
        {"Conv:y#2": 240, "Reshape:y_mm_tp_rs": None},
    ),
    "scalesim_COMPUTE_REPORT.csv": ({"run": 3}, 8_485, {"1": 2_349}),
    "vela_per-layer.csv": ({"run": 60}, 238_132, {"b4_pw": 9_488, "b5_add": 6_912}),
}


@pytest.mark.parametrize("name", LOGS)
def test_a_published_output_is_read_to_the_last_field(name, shared_data, read_log, check_log):
    kind, fields = LOGS[name]
    log = read_log(name, (shared_data / "runtime-logs" / name).read_bytes())
    check_log(log, kind, fields)
    tables, total, some = OPS.get(name, ({}, 0, {}))
    assert {table: sum(op.table == table for op in log.ops) for table in tables} == tables
    assert len(log.ops) == sum(tables.values())
    assert sum(op.avg_ns or op.cycles or 0 for op in log.ops) == total
    seen = {}
    for op in log.ops:
        seen.setdefault(op.name, op.avg_ns or op.cycles)
    assert {op_name: seen[op_name] for op_name in some} == some


def test_every_published_output_is_expected(shared_data):
    assert {path.name for path in (shared_data / "runtime-logs").iterdir()} == set(LOGS)
