"""`litert-benchmark` of ai-edge-litert 2.2 and later, in Python: one model per process.

This runner works around two flaws. The program rounds to hundredths of a millisecond, longer than
a block of a small network takes; the runner turns the rounding off. On a GPU the program never
waits for the output, so it times only the submission; the runner refuses delegates.
"""

import re
from typing import Final

from hwnat.device.runners.base import Order, Runner, Timed
from hwnat.device.runners.logs.litert_benchmark import read_litert_benchmark
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Alternation
from hwnat.transport.base import Transport
from hwnat.transport.words import printable

_PACKAGE: Final = "ai-edge-litert"
_TRY: Final = """
from importlib.metadata import version
import ai_edge_litert.tools.benchmark_litert_model
print(version("ai-edge-litert"))
"""
#: The duration in ms, then the program's own arguments. The log goes to stderr, the report to
#: stdout. The program takes a number of runs only, so a short first call measures how many runs
#: fill the duration.
_RUN: Final = """
import contextlib, json, sys
from ai_edge_litert.tools import benchmark_litert_model as tool
half_ms = float(sys.argv.pop(1)) / 2
tool.round = lambda value, digits: value
args = tool.parse_args()
with contextlib.redirect_stdout(sys.stderr):
    run_ms = tool.run_benchmark(args)["latency"]["median_ms"]
    runs = int(half_ms / run_ms) + 1
    args.num_runs, args.warmup_runs = max(args.num_runs, runs), max(args.warmup_runs, runs)
    report = tool.run_benchmark(args)
print(json.dumps(report))
"""
_VERSION: Final = re.compile(r"[0-9]{1,5}(?:\.[0-9A-Za-z+-]{1,20}){1,5}")


class LitertBenchmarkRunner:
    """The program, installed in the Python of a board.

    Args:
        spec: the device; its `python` has the package.

    Raises:
        UsageError: the device has a delegate, or another target.
    """

    name = "litert-benchmark"
    alternation: Alternation = "processes"

    def __init__(self, spec: DeviceSpec) -> None:
        if spec.target != "tflite":
            msg = (
                f"Device {spec.name}: {self.name} times TFLite files, not those of target "
                f"'{spec.target}'; set target = \"tflite\" in the device file."
            )
            raise UsageError(msg)
        if spec.delegate is not None:
            msg = (
                f"Device {spec.name}: {self.name} does not wait for delegate '{spec.delegate}' to "
                "finish, so its times would be too short. Set "
                'runner = "benchmark_model" in the device file.'
            )
            raise UsageError(msg)
        self._device, self._python = spec.name, spec.python

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Check that the package is installed in a version with the program."""
        del folder, machine
        done = link.run([self._python, "-c", _TRY], timeout_s=120)
        if "ModuleNotFoundError" in done.stderr or "PackageNotFoundError" in done.stderr:
            msg = (
                f"Device {self._device}: its {self._python} has no {_PACKAGE} 2.2 or later "
                f"({printable(done.stderr, limit=120)}). Install it on the device with: "
                f"{self._python} -m pip install '{_PACKAGE}>=2.2'"
            )
            raise UsageError(msg)
        version = done.check().stdout.strip()
        if not _VERSION.fullmatch(version):
            msg = (
                f"Device {self._device}: expected the version of {_PACKAGE}, {self._python} "
                f"printed {printable(version, limit=100)!r}. Try on the device: "
                f"{self._python} -m ai_edge_litert.tools.benchmark_litert_model --help"
            )
            raise DeviceError(msg)
        return _PACKAGE, version, f"{self.name} {version}"

    def argv(self, order: Order, *, folder: str) -> list[str]:
        """Return the command for one model; see `Runner.argv`."""
        del folder
        return [
            *(self._python, "-c", _RUN, f"{order.visit_ms:g}"),
            f"--model={order.model}",
            f"--num_threads={order.threads}",
            f"--warmup_runs={order.warmup}",
            f"--num_runs={order.runs}",
        ]

    def read(self, output: str, *, where: str) -> Timed:
        """Return the median of all runs; see `Runner.read`."""
        log = read_litert_benchmark(output, where=where)
        for delegation in log.delegates:
            if delegation.name != "CPU":
                msg = (
                    f"{where}: this was timed on {printable(delegation.name, limit=40)}, for which "
                    f"{self.name} does not wait, so it is no latency. Time the CPU, or set "
                    'runner = "benchmark_model" in the device file.'
                )
                raise DeviceError(msg)
        if log.inference.median_ns is None:
            msg = f"{where}: the report has no median. Run the same hwnat profile command again."
            raise DeviceError(msg)
        return Timed(samples_ns=(log.inference.median_ns,))


_CHECK: type[Runner] = LitertBenchmarkRunner
