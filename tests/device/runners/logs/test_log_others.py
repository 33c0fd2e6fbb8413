"""OpenVINO's, ONNX Runtime's and ncnn's runners, compilers and simulators."""

import pytest

from hwnat.device.runners.logs import Delegation, Estimate, Timing, parse_log


def timing(count, least, average, most, **more):
    return Timing(count=count, min_ns=least, avg_ns=average, max_ns=most, **more)


OPENVINO = {
    "inference": timing(40, 2_950_000, 3_080_000, 4_400_000, median_ns=3_020_000),
    "init_ns": 70_750_000,
    "first_ns": 6_100_000,
}
U65 = Estimate(cycles=50_000, clock_hz=1_000_000_000, latency_ns=50_000)

#: File: tool and generation, and every field that the format fills, operators apart.
FORMATS = {
    "openvino.txt": (("benchmark_app", "text"), OPENVINO),
    "openvino.json": (("benchmark_app", "json"), OPENVINO),
    "openvino_counters.json": (("benchmark_app", "counters"), {}),
    "ort.txt": (
        ("onnxruntime_perf_test", "text"),
        {
            "inference": timing(50, 780_000, 802_010, 911_000, median_ns=799_000, p95_ns=833_000),
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


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_and_read_to_the_last_field(name, read_log, check_log):
    kind, fields = FORMATS[name]
    log = read_log(name)
    check_log(log, kind, fields)
    found = [
        (op.table, op.table_name, op.node_type, op.name, op.avg_ns, op.cycles) for op in log.ops
    ]
    assert found == OPS.get(name, [])


def test_an_rknn_layer_on_the_cpu_is_partial_delegation(runtime_logs):
    text = (
        (runtime_logs / "rknn.txt")
        .read_text()
        .replace("Add                INT8     NPU    ", "Add                INT8     CPU    ")
    )
    (delegation,) = parse_log(text).delegates
    assert (delegation.extent, delegation.cpu_operators, delegation.cpu_percent) == (
        "partial", 1, 50.0
    )  # fmt: skip
