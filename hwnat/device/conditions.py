"""The state of a machine while it measures, and a hold on its cores."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from hwnat.device.cores import choose_cluster_cores
from hwnat.device.probe import now as now
from hwnat.device.probe import probe_machine, read_state
from hwnat.records.lock import file_lock, run_directory
from hwnat.records.machine import Cluster
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.base import Transport

_MAX_CLOCK: Final = "/sys/devices/system/cpu/cpu{}/cpufreq/cpuinfo_max_freq"


def read_host(link: Transport) -> Host:
    """Return the description of a machine; a value that it does not report is None.

    Raises:
        DeviceError: it cannot be reached, or its answer is not whole.
    """
    return probe_machine(link).host


class ConditionsReader:
    """Conditions that are at most `max_age_s` old, so that reading costs a profile nothing."""

    def __init__(self, link: Transport, *, max_age_s: float = 5.0) -> None:
        self._link, self._max_age_s = link, max_age_s
        self._read_at = -max_age_s
        self._last: Conditions | None = None

    def read(self) -> Conditions:
        """Return the last reading, or a new one if that is too old."""
        if self._last is None or monotonic() - self._read_at > self._max_age_s:
            self._last, self._read_at = read_state(self._link), monotonic()
        return self._last


def choose_cores(affinity: Literal["auto"] | Sequence[int], *, threads: int) -> tuple[int, ...]:
    """Choose cores of this machine to pin to; see `choose_cluster_cores`.

    Only cores that this process may use are chosen. The result is empty on systems that cannot pin.

    Raises:
        UsageError: a core that was asked for is not available to this process.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    alike: dict[int, list[int]] = {}
    for core in sorted(os.sched_getaffinity(0)):
        alike.setdefault(_max_clock_hz(core), []).append(core)
    clusters = [Cluster(cores=tuple(alike[hz]), max_hz=hz or None) for hz in sorted(alike)]
    return choose_cluster_cores(clusters, affinity, threads=threads)


def _max_clock_hz(core: int) -> int:
    try:
        return int(Path(_MAX_CLOCK.format(core)).read_text("ascii")) * 1000
    except (OSError, ValueError):
        return 0


@contextmanager
def pinned(
    cores: Sequence[int], *, realtime: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Run this thread, and the threads that it starts, on `cores` only; undo this at the end.

    Waits while another command of this user holds one of the cores, because two commands that time
    models on one core would measure each other.

    Args:
        cores: an empty list does not pin.
        realtime: whether to keep ordinary programs off the cores; see `may_run_realtime`.
        tell: called with a line that names the other command.

    Raises:
        UsageError: there is no place for lock files.
    """
    with ExitStack() as undo:
        if cores:
            for core in sorted(cores):
                path = run_directory() / f"core-{core}.lock"
                undo.enter_context(file_lock(path, what=f"CPU core {core}", waiting=tell))
            undo.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores)
        if realtime:
            undo.callback(os.sched_setscheduler, 0, os.sched_getscheduler(0), os.sched_getparam(0))
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        yield


def may_run_realtime() -> bool:
    """Whether this process may keep ordinary programs off the cores it runs on.

    A program that runs between two runs of a model evicts the caches of the second run, which no
    ratio undoes. The kernel grants real-time scheduling to root and to users that the administrator
    names. It keeps a twentieth of each second for ordinary programs.
    """
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        with pinned((), realtime=True):
            return True
    except PermissionError:
        return False


def advice(
    host: Host,
    state: Conditions,
    *,
    threads: int,
    realtime: bool,
    cores: Sequence[int] = (),
    root: bool = False,
) -> tuple[str, ...]:
    """Return what would make measurements unreliable, each with a remedy.

    Args:
        host: this machine.
        state: its state.
        threads: threads of the runtime.
        realtime: whether ordinary programs are kept off the cores.
        cores: cores that the threads are pinned to; empty if they are not pinned.
        root: whether this process runs as root.
    """
    hints = []
    if not realtime and root:
        hints.append(
            "Other programs may interrupt: the container or control group forbids real-time "
            "priority. Allow it (docker --cap-add SYS_NICE, cpu.rt_runtime_us)."
        )
    elif not realtime:
        hints.append(
            "Other programs may interrupt: run as root, or allow real-time priority 1 (ulimit -r)."
        )
    if state.cpu_quota is not None:
        hints.append(
            f"A CPU quota of {state.cpu_quota:g} cores stops this process when it is used up: "
            "raise it (docker --cpus, limits.cpu of Kubernetes) while measuring."
        )
    if (shared := shared_cores(threads, cores)) is not None:
        hints.append(shared)
    if state.governor not in (None, "performance"):
        hints.append(f"Governor is '{state.governor}': set 'performance' while measuring.")
    busy = (host.cores or threads) - threads
    if state.load_1m is not None and state.load_1m > max(busy, 0.5):
        hints.append(f"Load is {state.load_1m:g} on {host.cores} cores: stop other programs.")
    if not state.clocks_hz:
        hints.append("Clocks are not readable (a virtual machine?): rely on the ratios.")
    return tuple(hints)


def shared_cores(threads: int, cores: Sequence[int]) -> str | None:
    """Return advice if there are more threads than cores to pin them to; None otherwise."""
    if not cores or threads <= len(cores):
        return None
    number = len(cores)
    return (
        f"{threads} threads share {number} {'core' if number == 1 else 'cores'}: set threads = "
        f"{number} in the device file, or name more cores in affinity."
    )
