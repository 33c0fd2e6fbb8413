"""`benchmark_model` of TensorFlow Lite and LiteRT, supplied by the user: one model a process.

It is how a model is timed through a phone's GPU or NNAPI; on the CPU, the runner `litert` holds
model and reference model in one process, and is preferred. Nothing is built or fetched here.
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

#: Medians are printed in whole microseconds: under this they are coarser than a twentieth.
_COARSE_NS: Final = 10_000
_ASKED: Final = re.compile(r"Running benchmark for at least ([0-9]{1,9}) iterations?\b")
#: Delegate of a device file -> what the tool calls it, and the flags that select it. A precision
#: is one of the arithmetic too, so nothing is rounded to half floats behind its back.
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
    """Google's program, put on the device by `hwnat device setup NAME --benchmark-model PATH`.

    Args:
        spec: of the device; with a delegate, every model has to run on that one whole.

    Raises:
        UsageError: the program has no such delegate, or times no files of this target.
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
                f"Device {spec.name}: {self.name} is not used with delegate '{spec.delegate}'; "
                f"it is with: {', '.join(_DELEGATES)}. Change the device file."
            )
            raise UsageError(msg)
        self._device = spec.name
        self._delegate: str | None = None
        self._flags: tuple[str, ...] = ("--use_xnnpack=true",)
        if spec.delegate is not None:
            self._delegate, flags = _DELEGATES[spec.delegate]
            self._flags = (*flags[spec.precision], "--require_full_delegation=true")

    def install(self, link: Transport, *, folder: str, machine: Machine) -> tuple[str, str, str]:
        """Try the program that the user has put there; see `Runner.install`.

        It tells no version, so the first digits of its SHA-256, or MD5, stand for one.
        """
        path = f"{folder}/{self.name}"
        found = link.run(shell.script("transport/before_pull", source=path), timeout_s=60)
        if found.returncode == shell.NO_FILE:
            msg = (
                f"Device {self._device}: it has no {self.name}. Google publishes that program for "
                "Android and Linux with LiteRT's documentation (performance, benchmark tools); "
                f"get or build the one for {machine.abi or 'its processor'}, then run: "
                f"hwnat device setup {self._device} --benchmark-model PATH"
            )
            raise UsageError(msg)
        described = shell.described(found.check().stdout)
        if described is None:
            msg = (
                f"Device {self._device}: {self.name} was not hashed but answered with "
                f"{printable(found.stdout, limit=100)!r}; ask: "
                f"hwnat device doctor {self._device}"
            )
            raise DeviceError(msg)
        tried = link.run([path, "--help"], timeout_s=60)
        said = tried.stdout + tried.stderr
        # Some builds end with an error after they have told their flags.
        if "num_runs" not in said or "graph" not in said:
            tail = printable(said, limit=200) or "nothing"
            msg = (
                f"Device {self._device}: {self.name} does not start there. Asked for its flags it "
                f"ended with {tried.returncode} and printed: {tail}. Bring one that was built for "
                f"{machine.abi or 'its processor'}: "
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
        """Return the median of all runs, or their average; see `Runner.read`.

        The average stands where a build prints no median, or one too coarse for so short a model.
        """
        asked = _ASKED.findall(output)
        log = read_benchmark_model(output, where=where, runs=int(asked[-1]) if asked else None)
        if self._delegate is not None:
            self._require_full(self._delegate, log.delegates, where=where)
        return Timed(samples_ns=(_typical_ns(log.inference),))

    def _require_full(self, name: str, said: tuple[Delegation, ...], *, where: str) -> None:
        """Refuse a time that is not, or not only, the delegate's.

        Raises:
            DeviceError: it left operators to the CPU, or the tool says nothing about it.
        """
        found = next((each for each in said if each.name.upper() == name), None)
        if found is None:
            msg = (
                f"{where}: {self.name} does not say that its {name} delegate ran the model, so it "
                "may have been the CPU. Bring a newer build, one that does: "
                f"hwnat device setup {self._device} --benchmark-model PATH"
            )
            raise DeviceError(msg)
        if found.extent == "full":
            return
        if found.extent == "none":
            what = f"the {name} delegate took no operator of the model, all ran on the CPU"
        elif found.cpu_operators:
            what = f"the {name} delegate left {found.cpu_operators} operators to the CPU"
        else:
            what = f"the {name} delegate took the model in part only"
        if found.kernels:
            what += f" and cut the rest into pieces, {found.kernels} of them"
        msg = (
            f"{where}: {what}, so this is no latency of the {name}. Replace those operators in the "
            "space or model, or profile the CPU: leave `delegate` out of "
            f"devices/{self._device}.toml. Which they are the tool says before its timings."
        )
        raise DeviceError(msg)


_CHECK: type[Runner] = BenchmarkModelRunner


def _typical_ns(runs: Runs) -> int:
    """Return what stands for all runs of a process."""
    median, average = runs.median_ns, runs.avg_ns
    coarse = median is not None and median < _COARSE_NS
    preferred = (average, median) if coarse else (median, average)
    return next(each for each in preferred if each is not None)
