"""TensorFlow Lite's or LiteRT's `benchmark_model`, from the user: one model per process.

It times models on a phone's GPU or through NNAPI. On the CPU, prefer the runner `litert`: it runs
model and reference model in one process. Nothing is built or downloaded here.
"""

import re
from typing import Final

from hwnat.device.runners.base import Order, Runner, Timed
from hwnat.device.runners.logs.benchmark_model import read_benchmark_model
from hwnat.device.runners.logs.record import Delegation, Runs
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec, Precision
from hwnat.records.machine import Machine
from hwnat.records.measurement import Alternation
from hwnat.transport import shell
from hwnat.transport.base import Transport
from hwnat.transport.words import printable

#: The tool rounds medians to whole microseconds; below this, that is an error of over 5 %.
_COARSE_NS: Final = 10_000
_ASKED: Final = re.compile(r"Running benchmark for at least ([0-9]{1,9}) iterations?\b")
#: Delegate in a device file -> its name in the tool's output, and the flags that select it. The
#: flags also set the precision, so nothing is silently rounded to half floats.
_DELEGATES: Final[dict[str, tuple[str, dict[Precision, tuple[str, ...]]]]] = {
    "gpu": (
        "GPU",
        {
            "fp32": ("--use_gpu=true", "--gpu_precision_loss_allowed=false"),
            "int8": ("--use_gpu=true", "--gpu_experimental_enable_quant=true"),
        },
    ),
    "nnapi": (
        "NNAPI",
        {
            "fp32": ("--use_nnapi=true", "--disable_nnapi_cpu=true", "--nnapi_allow_fp16=false"),
            "int8": ("--use_nnapi=true", "--disable_nnapi_cpu=true"),
        },
    ),
}


class BenchmarkModelRunner:
    """Google's program, installed by `hwnat device setup NAME --benchmark-model PATH`.

    Args:
        spec: the device; if it has a delegate, every model must run entirely on that.

    Raises:
        UsageError: the program does not support the delegate or the target.
    """

    name = "benchmark_model"
    alternation: Alternation = "processes"

    def __init__(self, spec: DeviceSpec) -> None:
        if spec.target != "tflite":
            msg = (
                f"Device {spec.name}: {self.name} times TFLite files, not those of target "
                f"'{spec.target}'; set target = \"tflite\" in the device file."
            )
            raise UsageError(msg)
        if spec.delegate is not None and spec.delegate not in _DELEGATES:
            msg = (
                f"Device {spec.name}: {self.name} does not support delegate '{spec.delegate}'; "
                f"set `delegate` in the device file to one of: {', '.join(_DELEGATES)}."
            )
            raise UsageError(msg)
        self._device = spec.name
        self._delegate: str | None = None
        self._flags: tuple[str, ...] = ("--use_xnnpack=true",)
        if spec.delegate is not None:
            self._delegate, flags = _DELEGATES[spec.delegate]
            self._flags = (*flags[spec.precision], "--require_full_delegation=true")

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Start the program that the user installed; see `Runner.install`.

        It reports no version, so the first digits of its SHA-256 or MD5 are used instead.
        """
        path = f"{folder}/{self.name}"
        looked = link.run(shell.script("transport/before_pull", source=path), timeout_s=60)
        if looked.returncode == shell.NO_FILE:
            msg = (
                f"Device {self._device} has no {self.name}. Google publishes the program for "
                "Android and Linux in LiteRT's documentation (performance, benchmark tools). "
                f"Download or build the one for {machine.abi or 'its processor'}, then run: "
                f"hwnat device setup {self._device} --benchmark-model PATH"
            )
            raise UsageError(msg)
        described = shell.described(looked.check().stdout)
        if described is None:
            msg = (
                f"Device {self._device}: expected the hash of {self.name}, the device printed "
                f"{printable(looked.stdout, limit=100)!r}. Check it with: "
                f"hwnat device doctor {self._device}"
            )
            raise DeviceError(msg)
        tried = link.run([path, "--help"], timeout_s=60)
        printed = tried.stdout + tried.stderr
        # Some builds print their flags and then exit with an error.
        if "num_runs" not in printed or "graph" not in printed:
            tail = printable(printed, limit=200) or "nothing"
            msg = (
                f"Device {self._device}: {self.name} does not start there. With --help it "
                f"ended with {tried.returncode} and printed: {tail}. Install one built for "
                f"{machine.abi or 'its processor'} with: "
                f"hwnat device setup {self._device} --benchmark-model PATH"
            )
            raise DeviceError(msg)
        version = described[2][:12]
        return self.name, version, f"{self.name} {version}"

    def argv(self, order: Order, *, folder: str) -> list[str]:
        """Return the command for one model; see `Runner.argv`."""
        half_s = f"{order.visit_ms / 2e3:g}"
        return [
            f"{folder}/{self.name}",
            f"--graph={order.model}",
            f"--num_threads={order.threads}",
            f"--warmup_runs={order.warmup}",
            f"--warmup_min_secs={half_s}",
            f"--num_runs={order.runs}",
            f"--min_secs={half_s}",
            *self._flags,
        ]

    def read(self, output: str, *, where: str) -> Timed:
        """Return the median or the average of all runs; see `Runner.read`.

        The average replaces a median that the build does not print or that is too coarse.
        """
        asked = _ASKED.findall(output)
        log = read_benchmark_model(output, where=where, runs=int(asked[-1]) if asked else None)
        if self._delegate is not None:
            self._require_full(self._delegate, log.delegates, where=where)
        return Timed(samples_ns=(_typical_ns(log.inference),))

    def _require_full(self, name: str, delegations: tuple[Delegation, ...], *, where: str) -> None:
        """Raise unless the delegate ran the whole model.

        Raises:
            DeviceError: operators ran on the CPU, or the tool does not report it.
        """
        taken = next((item for item in delegations if item.name.upper() == name), None)
        if taken is None:
            msg = (
                f"{where}: {self.name} does not say that its {name} delegate ran the model, so it "
                "may have run on the CPU. Install a newer build with: "
                f"hwnat device setup {self._device} --benchmark-model PATH"
            )
            raise DeviceError(msg)
        if taken.extent == "full":
            return
        if taken.extent == "none":
            what = f"the {name} delegate took no operator of the model, all ran on the CPU"
        elif taken.cpu_operators:
            what = f"the {name} delegate left {taken.cpu_operators} operators to the CPU"
        else:
            what = f"the {name} delegate took the model only in part"
        if taken.kernels:
            what += f" and cut the rest into pieces, {taken.kernels} of them"
        msg = (
            f"{where}: {what}, so this is no latency of the {name}. Replace those operators, which "
            "the tool lists before its timings, or profile the CPU: remove `delegate` from "
            f"devices/{self._device}.toml."
        )
        raise DeviceError(msg)


_CHECK: type[Runner] = BenchmarkModelRunner


def _typical_ns(runs: Runs) -> int:
    """Return the value that represents all runs of a process."""
    median, average = runs.median_ns, runs.avg_ns
    coarse = median is not None and median < _COARSE_NS
    preferred = (average, median) if coarse else (median, average)
    return next(value for value in preferred if value is not None)
