"""A profile in the newer generation, with the initialisation first, as benchmark_model has it."""

TITLE = "=" * 30
COLUMNS = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
OLD_COLUMNS = COLUMNS.replace("first", "start, first")


def profile(title, columns, rows, timings):
    """Write one profile: its nodes, and the summaries that importers must not take for nodes."""
    kinds = [f"{row.partition(', ')[0]}, 1, 9, 1%, 1%, 0, 1" for row in rows]
    return "\n".join(
        [
            title,
            f"{TITLE} Run Order {TITLE}",
            columns,
            *rows,
            "",
            f"{TITLE} Top by Computation Time {TITLE}",
            columns,
            *rows[:1],
            "",
            f"Number of nodes executed: {len(rows)}",
            f"{TITLE} Summary by node type {TITLE}",
            "node type, count, avg_ms, avg %, cdf %, mem KB, times called",
            *kinds,
            "",
            f"Timings (microseconds): {timings}",
            "Memory (bytes): count=0",
            f"{len(rows)} nodes observed",
            "",
            "",
        ]
    )


INIT = profile(
    "Profiling Info for Benchmark Initialization:",
    COLUMNS,
    ["AllocateTensors, 1.21, 1.21, 100%, 100%, 1152, 1, AllocateTensors/0"],
    "count=1 curr=1210",
)
NODES = (
    "CONV_2D, 1.885, 1.8948, 60%, 60%, 0, 1, [stem]:0",
    "ADD, 0.312, 0.30944, 10%, 70%, 0, 1, [a\tb]:1",
    "Fully Connected (NC, F32) GEMM, 0.003, 0.00358, 9%, 79%, 0, 1, [out]:2",
    "RESHAPE, 0, 0, 0%, 79%, 0, 1, [flat]:3",
    "SOFTMAX, 0.003, 0.00242, 21%, 100%, 0, 1, [prob]:4",
)
RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs:"
TOTAL = "count=50 first=5005 curr=4955 min=4846 max=5158 avg=5009.7 std=69"
CONV = "conv|in=1x32x32x3|out=16|k=3|s=2|act=relu|float32"
ADD = "add|in=1x16x16x16|act=none|n=2|float32"
LINEAR = "linear|in=1x1x1x64|out=10|float32"

SAMPLE = {
    "device": "phone",
    "files": {"profile.csv": INIT + profile(RUNS, COLUMNS, NODES, TOTAL)},
    "beside": {
        "keys.json": f'{{"[stem]:0": "{CONV}", "[a,b]:1": "{ADD}", "[out]:2": "{LINEAR}",'
        ' "[flat]:3": "move|in=1x1x1x64|float32"}'
    },
    "options": {"keys": "{folder}/keys.json"},
    "entries": {CONV: 1_894_800, ADD: 309_440, LINEAR: 3_580},
    "unmapped": {"[flat]:3", "[prob]:4"},
    "planted": ("0.30944", ADD),
}
