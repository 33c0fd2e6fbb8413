"""What a machine is and the state it is in, read over a transport; and pinning to cores."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from hwnat.errors import UsageError
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.base import Transport

_CPU: Final = "/sys/devices/system/cpu/cpu{}/cpufreq/{}"
_ZONE: Final = "/sys/class/thermal/thermal_zone{}/temp"
_MAX_CORES: Final = 32
_MAX_ZONES: Final = 16
_MODEL: Final = re.compile(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", re.MULTILINE)


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_host(link: Transport) -> Host:
    """Ask a machine what it is; what it does not tell is None."""
    cpuinfo = link.run(["cat", "/proc/cpuinfo"], timeout_s=10).stdout
    model = _MODEL.search(cpuinfo)
    cores = len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE))
    release = link.run(["cat", "/etc/os-release"], timeout_s=10).stdout
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]+)', release, re.MULTILINE)
    uname = {flag: link.run(["uname", flag], timeout_s=10).stdout.strip() for flag in ("-m", "-sr")}
    system = ", ".join(filter(None, [pretty and pretty[1], uname["-sr"]]))
    return Host(
        cpu=model[1].strip() if model else None,
        cores=cores or None,
        machine=uname["-m"] or None,
        os=system or None,
    )


def read_conditions(link: Transport) -> Conditions:
    """Read clocks, governor, temperature and load; what a machine does not tell is None."""
    clocks = [_CPU.format(core, "scaling_cur_freq") for core in range(_MAX_CORES)]
    zones = [_ZONE.format(zone) for zone in range(_MAX_ZONES)]
    governor, load = _CPU.format(0, "scaling_governor"), "/proc/loadavg"
    # One process for all of it; grep skips the files that are not there.
    argv = ["grep", "-s", "-H", ".", governor, load, *clocks, *zones]
    lines = link.run(argv, timeout_s=10).stdout.splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    heat = [int(found[zone]) for zone in zones if _is_integer(found.get(zone))]
    return Conditions(
        at=now(),
        governor=found.get(governor),
        clocks_hz=tuple(int(found[c]) * 1000 for c in clocks if _is_integer(found.get(c))),
        # Thermal zones count in thousandths of a degree; a broken one says 0 or less.
        temperature_c=max((each / 1000 for each in heat if each > 0), default=None),
        load_1m=float(found[load].split()[0]) if load in found else None,
    )


def _is_integer(text: str | None) -> bool:
    return re.fullmatch(r"-?\d+", text or "") is not None


class ConditionsReader:
    """Conditions that are at most `max_age_s` old, so that reading costs a profile nothing."""

    def __init__(self, link: Transport, *, max_age_s: float = 5.0) -> None:
        self._link, self._max_age_s = link, max_age_s
        self._read_at = -max_age_s
        self._last: Conditions | None = None

    def read(self) -> Conditions:
        """Return the last reading, or a new one if that is too old."""
        if self._last is None or monotonic() - self._read_at > self._max_age_s:
            self._last, self._read_at = read_conditions(self._link), monotonic()
        return self._last


def choose_cores(affinity: Literal["auto"] | Sequence[int], *, threads: int) -> tuple[int, ...]:
    """Return the cores of this machine to pin to; `auto` takes the last of the fastest ones.

    The last, because interrupts and other programs gather on the first. Empty where the
    system cannot pin.

    Raises:
        UsageError: a core that was asked for is not available to this process.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    usable = sorted(os.sched_getaffinity(0))
    if affinity == "auto":
        fastest = sorted(usable, key=lambda core: (_max_clock_hz(core), core))
        return tuple(sorted(fastest[-threads:]))
    cores = tuple(int(core) for core in affinity)
    if missing := sorted(set(cores) - set(usable)):
        msg = f"Cores {missing} are not available; this process may use {usable}."
        raise UsageError(msg)
    return cores


def _max_clock_hz(core: int) -> int:
    try:
        return int(Path(_CPU.format(core, "cpuinfo_max_freq")).read_text("ascii")) * 1000
    except (OSError, ValueError):
        return 0


@contextmanager
def pinned(cores: Sequence[int], *, realtime: bool = False) -> Iterator[None]:
    """Run on `cores` only, this thread and those it starts; restored on leaving.

    Waits while another process of this package holds one of them: two that time models on one
    core would measure each other.

    Args:
        cores: none leaves the thread where it may run now.
        realtime: no ordinary program takes the core meanwhile; see `may_run_realtime`.
    """
    with ExitStack() as undo:
        if cores:
            for core in sorted(cores):
                undo.enter_context(_held(core))
            undo.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores)
        if realtime:
            undo.callback(os.sched_setscheduler, 0, os.sched_getscheduler(0), os.sched_getparam(0))
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        yield


@contextmanager
def _held(core: int) -> Iterator[None]:
    """Hold a core's lock; the system releases it when the process ends, however it does."""
    import fcntl

    path = Path(tempfile.gettempdir()) / f"hwnat-core-{core}.lock"
    # Where it is there it is only read: systems may refuse to create another user's file again.
    with suppress(PermissionError):
        if not path.exists():
            path.touch()
            path.chmod(0o666)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def may_run_realtime() -> bool:
    """Whether this process may keep ordinary programs off the cores it runs on.

    A program that comes between two runs cools the caches of the second, which no ratio undoes.
    The kernel grants real-time scheduling to root and to whom the administrator names, and keeps
    a twentieth of each second for the others.
    """
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        with pinned((), realtime=True):
            return True
    except PermissionError:
        return False


def advice(host: Host, state: Conditions, *, threads: int, realtime: bool) -> tuple[str, ...]:
    """Return what stands in the way of good measurements, each with what to do about it."""
    found = []
    if not realtime:
        found.append(
            "Other programs may interrupt: run as root, or allow real-time priority 1 (ulimit -r)."
        )
    if state.governor not in (None, "performance"):
        found.append(f"Governor is '{state.governor}': set 'performance' while measuring.")
    busy = (host.cores or threads) - threads
    if state.load_1m is not None and state.load_1m > max(busy, 0.5):
        found.append(f"Load is {state.load_1m:g} on {host.cores} cores: stop other programs.")
    if not state.clocks_hz:
        found.append("Clocks are not readable (a virtual machine?): rely on the ratios.")
    return tuple(found)
