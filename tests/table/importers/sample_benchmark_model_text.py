"""A log of `benchmark_model --enable_op_profiling=true` with its initialisation first."""

TITLE = "=" * 30
COLUMNS = "\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]"


def row(kind, ms, name):
    return f"\t{kind:>30}\t    0.900\t{ms:>9}\t20.0%\t40.0%\t0.000\t1\t{name}"


def block(heading, rows, timings):
    """Write one graph: its rows, and the summaries that importers must not take for rows."""
    return "\n".join(
        [
            *heading,
            f"{TITLE} Run Order {TITLE}",
            COLUMNS,
            *rows,
            "",
            f"{TITLE} Top by Computation Time {TITLE}",
            COLUMNS,
            *rows[:1],
            "",
            f"Number of nodes executed: {len(rows)}",
            f"{TITLE} Summary by node type {TITLE}",
            "\t[Node type]\t[count]\t[avg ms]\t[avg %]\t[cdf %]\t[mem KB]\t[times called]",
            "\tCONV_2D\t1\t9.000\t100.0%\t100.0%\t0.000\t1",
            "",
            f"Timings (microseconds): {timings}",
            "Memory (bytes): count=0",
            f"{len(rows)} nodes observed",
            "",
            "",
        ]
    )


SUMMARY = (
    "INFO: STARTING!\n"
    "INFO: Enable op profiling: [1]\n"
    "INFO: Inference timings in us: Init: 1911, First inference: 4300, Warmup (avg): 1290.5, "
    "Inference (avg): 1009.25\n"
)
INIT = block(
    ["INFO: Profiling Info for Benchmark Initialization:"],
    [row("AllocateTensors", "0.640", "AllocateTensors/0")],
    "count=1 curr=640",
)
NODES = [
    row("Convolution (NHWC, F32) IGEMM", "0.701", "[stem, left]:0"),
    row("ADD", "0.255", "[sum]:1"),
    row("RESHAPE", "0.000", "[flat]:2"),
    row("SOFTMAX", "0.003", "[out]:3"),
]
RUNS = block(
    ["INFO: Operator-wise Profiling Info for Regular Benchmark Runs:", "Primary graph (name: m):"],
    NODES,
    "count=20 first=1010 curr=1002 min=998 max=1033 avg=1009.2 std=9",
)
INNER = block(["Delegate internal: "], [row("Sigmoid", "0.020", "inner:0")], "count=20 curr=20")
CONV = "conv|in=1x32x32x3|out=16|k=3|s=2|act=relu|float32"
ADD = "add|in=1x16x16x16|act=none|n=2|float32"

SAMPLE = {
    "device": "phone",
    "files": {"log.txt": SUMMARY + INIT + RUNS + INNER},
    "beside": {"keys.json": f'{{"[stem, left]:0": "{CONV}", "[sum]:1": "{ADD}"}}'},
    "options": {"keys": "{folder}/keys.json"},
    "entries": {CONV: 701_000, ADD: 255_000},
    "unmapped": {"[flat]:2", "[out]:3", "inner:0"},
    "planted": ("0.255", ADD),
    "networks": {"log.txt": 1_009_250},
}
