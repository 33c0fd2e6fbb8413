"""A device as it is at one instant: system, cores and state."""

from dataclasses import dataclass

from hwnat.errors import DataError
from hwnat.records.measurement import Conditions, Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores that share one clock; a value that the device does not report is None.

    Attributes:
        cores: numbers of the cores, in order, without those that are switched off.
        max_hz: maximum frequency of the clock.
        capacity: relative computing power, as the scheduler of the kernel rates it.
        part: name or number of the core design.
    """

    cores: tuple[int, ...]
    max_hz: int | None = None
    capacity: int | None = None
    part: str | None = None

    def __post_init__(self) -> None:
        if not self.cores or min(self.cores) < 0 or len(set(self.cores)) != len(self.cores):
            msg = f"cores {self.cores} are not distinct core numbers."
            raise DataError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A device at one instant.

    Attributes:
        host: the hardware and the system.
        conditions: the state.
        clusters: clusters of cores, slowest first; empty if the device does not report them.
        abi: architecture that programs must be built for: aarch64, armv7l or x86_64.
        android_api: Android API level; None if the system is not Android.
        root: whether commands run as root.
        memory_bytes: size of main memory.
        zones_c: (name, temperature) of each thermal zone that can be read.
    """

    host: Host
    conditions: Conditions
    clusters: tuple[Cluster, ...] = ()
    abi: str | None = None
    android_api: int | None = None
    root: bool = False
    memory_bytes: int | None = None
    zones_c: tuple[tuple[str, float], ...] = ()
