"""What a device is, as one look at it tells: system, cores, state."""

from dataclasses import dataclass

from hwnat.errors import DataError
from hwnat.records.measurement import Conditions, Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores that share one clock; what the device does not tell is None.

    Attributes:
        cores: their numbers, in order; those that are switched off are left out.
        max_hz: of their clock.
        capacity: relative computing power, as the kernel's scheduler knows it.
        part: name or number of the core's design.
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
        clusters: slowest first; empty where the device does not tell.
        abi: what programs must be made for: aarch64, armv7l, x86_64.
        android_api: level; None is not Android.
        root: whether commands run as root.
        memory_bytes: of main memory.
        zones_c: temperature of each thermal zone that can be read.
    """

    host: Host
    conditions: Conditions
    clusters: tuple[Cluster, ...] = ()
    abi: str | None = None
    android_api: int | None = None
    root: bool = False
    memory_bytes: int | None = None
    zones_c: tuple[tuple[str, float], ...] = ()
