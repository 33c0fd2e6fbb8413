"""Time `hwnat --help`: the median of cold starts, next to that of an empty interpreter.

    python benchmarks/startup.py [--starts 10]

Compare the ratio between machines; the two commands alternate.
"""

import argparse
import subprocess
import sys
from statistics import median
from time import perf_counter_ns

COMMANDS = {
    "hwnat --help": [sys.executable, "-m", "hwnat.cli.main", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def start_ns(argv: list[str]) -> int:
    """Return a process's time from start to exit, in nanoseconds."""
    begun = perf_counter_ns()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return perf_counter_ns() - begun


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=10, help="starts of each command")
    starts = parser.parse_args().starts
    rounds = [[start_ns(argv) for argv in COMMANDS.values()] for _ in range(starts)]
    ours, empty = (median(column) / 1e6 for column in zip(*rounds, strict=True))
    print(
        f"hwnat --help: {ours:.0f} ms, "
        f"{ours / empty:.1f} times an empty interpreter's {empty:.0f} ms"
    )


if __name__ == "__main__":
    main()
