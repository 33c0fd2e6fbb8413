"""The detailed counters of a small network."""

import json


def node(name, kind, ms, status="EXECUTED"):
    return {
        "name": name,
        "node_type": kind,
        "status": f"Status.{status}",
        "real_time": ms,
        "cpu_time": "0.000",
        "exec_type": "jit_avx2_f32",
    }


NODES = [
    node("x", "Parameter", "0.000", "NOT_RUN"),
    node("c", "Convolution", "0.812"),
    node("r", "Relu", "0.000", "OPTIMIZED_OUT"),
    node("z", "Reorder", "0.000"),
    node("y", "FullyConnected", "0.031"),
    node("s", "Softmax", "0.001"),
]
REPORT = {
    "report_type": "detailed",
    "detailed_performance": [
        {"nodes": NODES, "total_real_time": "0.844", "total_cpu_time": "0.000"}
    ],
}
CONV = "conv|in=1x32x32x3|out=16|k=3|s=2|act=relu|float32"
LINEAR = "linear|in=1x1x1x64|out=10|float32"

SAMPLE = {
    "device": "host",
    "files": {"counters.json": json.dumps(REPORT, indent=1)},
    "beside": {"keys.json": f'{{"c": "{CONV}", "y": "{LINEAR}", "z": "{LINEAR}"}}'},
    "options": {"keys": "{folder}/keys.json"},
    "entries": {CONV: 812_000, LINEAR: 31_000},
    "unmapped": {"x", "r", "z", "s"},
    "planted": ("0.031", LINEAR),
}
