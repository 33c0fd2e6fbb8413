"""How long a model file takes to load, and how much memory it needs, in a process of its own."""

import gc
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from hwnat.errors import DataError, DeviceError, HwnatError
from hwnat.records.device import DeviceSpec, Precision

#: Loads to take the fastest of, once the file is in memory.
_WARM_LOADS: Final = 3
_TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Loading times and memory of a file on this machine. The runtime itself is loaded before.

    Attributes:
        cold_load_ns: first load, after the file was dropped from the file cache.
        warm_load_ns: later load in the same process.
        first_run_ns: first run after the cold load.
        peak_bytes: most memory that loading and running added to the process; None if the system
            does not report it.
    """

    cold_load_ns: int
    warm_load_ns: int
    first_run_ns: int
    peak_bytes: int | None


def footprint(spec: DeviceSpec, path: Path) -> Footprint:
    """Load and run a file of the device's target in a new process on this machine.

    Raises:
        DeviceError: the process failed.
    """
    settings = {
        "target": spec.target,
        "precision": spec.precision,
        "delegate": spec.delegate,
        "threads": spec.threads,
        "path": str(path.resolve()),
    }
    argv = [sys.executable, "-m", "hwnat.profile.footprint", json.dumps(settings)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        msg = f"Loading {path} took over {_TIMEOUT_S} s in a new process; time a smaller file."
        raise DeviceError(msg) from error
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        msg = f"{path} cannot be loaded and run in a new process: {reason:.200}"
        raise DeviceError(msg)
    return Footprint(**json.loads(done.stdout))


def _measure(
    target_name: str, precision: Precision, delegate: str | None, threads: int, path: Path
) -> Footprint:
    """Measure in this process, which has loaded no model before."""
    from hwnat.profile.models import bound
    from hwnat.targets.base import get_target

    target = get_target(target_name, precision=precision, delegate=delegate)
    with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
        nothing = Path(folder, f"nothing{target.suffix}")
        nothing.write_bytes(b"not a model")
        nothing.with_suffix(".bin").write_bytes(b"")
        with suppress(DataError):  # this loads the runtime and no model
            target.load(nothing, threads=threads)
    for file in path.parent.glob(f"{path.stem}.*"):
        _drop_from_cache(file)
    before, began = _memory("VmRSS"), perf_counter_ns()
    session = target.load(path, threads=threads)
    cold_load_ns = perf_counter_ns() - began
    del session
    gc.collect()
    session = bound(target, path, threads=threads, seed=0)
    began = perf_counter_ns()
    session.invoke()
    first_run_ns = perf_counter_ns() - began
    peak = _memory("VmHWM")
    del session
    warm = []
    for _ in range(_WARM_LOADS):
        began = perf_counter_ns()
        target.load(path, threads=threads)
        warm.append(perf_counter_ns() - began)
    return Footprint(
        cold_load_ns=cold_load_ns,
        warm_load_ns=min(warm),
        first_run_ns=first_run_ns,
        peak_bytes=None if before is None or peak is None else max(0, peak - before),
    )


def _drop_from_cache(file: Path) -> None:
    """Ask the system to forget what it holds of a file, so that a load reads the disk."""
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError), file.open("rb") as content:
        os.fsync(content.fileno())  # what is not written yet cannot be dropped
        os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _memory(name: str) -> int | None:
    """Return a value of /proc/self/status in bytes; None where there is none."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _main() -> None:
    """Print the footprint that the only argument, a JSON object, asks for."""
    asked = json.loads(sys.argv[1])
    path = Path(asked["path"])
    try:
        measured = _measure(
            asked["target"], asked["precision"], asked["delegate"], asked["threads"], path
        )
    except HwnatError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(asdict(measured)))


if __name__ == "__main__":
    _main()
