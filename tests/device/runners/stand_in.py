"""A program that takes benchmark_model's flags, really runs the model, and prints what it prints.

Its first two arguments are the tests': which generation of the output, and how much of a model the
delegate takes. Flags that a generation does not know it only warns about.
"""

# ruff: noqa: T201
import statistics
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

HELP = "usage: benchmark_model\nFlags:\n\t--num_runs=50\tint32\n\t--graph=\tstring\trequired\n"
NEW = {"require_full_delegation", "use_gpu", "use_nnapi", "use_xnnpack", "disable_nnapi_cpu"}
GENERATION, TAKES = (*sys.argv[1:3], "", "")[:2]
PREFIX = "INFO: " if GENERATION == "litert" else ""


def say(line):
    print(PREFIX + line, flush=True)


def fail(line):
    print("ERROR: " + line, file=sys.stderr)
    sys.exit(1)


def flags():
    found = {}
    for word in sys.argv[3:]:
        name, _, value = word.removeprefix("--").partition("=")
        found[name] = value
    if GENERATION == "tf1" and (unknown := NEW & set(found)):
        print("WARN: Unconsumed cmdline flags:", *sorted(unknown), file=sys.stderr)
        found = {name: value for name, value in found.items() if name not in NEW}
    return found


def series(invoke, least, least_s):
    """Run at least so often and so long; times in whole microseconds, as the tool keeps them."""
    took, began = [], time.monotonic()
    while len(took) < least or time.monotonic() - began < least_s:
        start = time.perf_counter_ns()
        invoke()
        took.append(max(1, (time.perf_counter_ns() - start) // 1000))
    if len(set(took)) == 1:
        line = f"count={len(took)} curr={took[0]}"
        return took, line + ("(all same)" if len(took) > 1 else "")
    line = f"count={len(took)} first={took[0]} curr={took[-1]} min={min(took)} max={max(took)} "
    line += f"avg={statistics.mean(took):g} std={statistics.pstdev(took):.0f}"
    if GENERATION == "litert":
        low, middle, high = (sorted(took)[int(len(took) * q)] for q in (0.05, 0.5, 0.95))
        line += f" p5={low} median={middle} p95={high}"
    return took, line


def announce(given):
    for name, called in (("use_gpu", "GPU"), ("use_nnapi", "NNAPI"), ("use_xnnpack", "XNNPACK")):
        if given.get(name) != "true":
            continue
        takes = "partially" if called == "XNNPACK" else TAKES
        if takes == "nothing":
            say(
                f"Though {called} delegate is explicitly applied, "
                "the model graph will not be executed by the delegate."
            )
        else:
            say(
                f"Explicitly applied {called} delegate, and the model graph will be {takes} "
                "executed by the delegate w/ 1 delegate kernels."
            )
        strict = GENERATION == "litert" and given.get("require_full_delegation") == "true"
        if strict and takes != "completely":
            fail("Disallowed CPU fallback detected.\nERROR: Benchmarking failed.")


def summary(init_us, warm, took):
    averages = [f"{statistics.mean(each):g}" for each in (warm, took)]
    if GENERATION == "tf1":
        say(
            f"Average inference timings in us: Warmup: {averages[0]}, Init: {init_us}, "
            f"no stats: {averages[1]}"
        )
        return
    say(
        f"Inference timings in us: Init: {init_us}, First inference: {warm[0]}, "
        f"Warmup (avg): {averages[0]}, Inference (avg): {averages[1]}"
    )
    say("Memory footprint delta from the start of the tool (MB): init=1.66406 overall=5.23828")


def main():
    given = flags()
    if "help" in given:
        print(HELP)
        sys.exit(1)
    say("STARTING!")
    say(f"Min num runs: [{given['num_runs']}]")
    say(f"Graph: [{given['graph']}]")
    start = time.perf_counter_ns()
    try:
        interpreter = Interpreter(given["graph"], num_threads=int(given["num_threads"]))
    except ValueError:
        fail("Failed to load model " + given["graph"])
    say("Loaded model " + given["graph"])
    announce(given)
    interpreter.allocate_tensors()
    init_us = (time.perf_counter_ns() - start) // 1000
    entry = interpreter.get_input_details()[0]
    interpreter.set_tensor(entry["index"], np.ones(entry["shape"], entry["dtype"]))
    say(f"Initialized session in {init_us / 1000:g}ms{'' if GENERATION == 'tf1' else '.'}")
    results = []
    for name in ("warmup_runs", "num_runs"):
        runs = int(given[name])
        least_s = float(given["warmup_min_secs" if name == "warmup_runs" else "min_secs"])
        end = "" if GENERATION == "tf1" else " but terminate if exceeding 150 seconds."
        say(f"Running benchmark for at least {runs} iterations and at least {least_s} seconds{end}")
        took, line = series(interpreter.invoke, runs, least_s)
        say(line + "\n")
        results.append(took)
    summary(init_us, *results)


if __name__ == "__main__":
    main()
