"""The cores of a device that a runner is pinned to."""

from collections.abc import Sequence
from typing import Final, Literal

from hwnat.errors import UsageError
from hwnat.records.machine import Cluster
from hwnat.transport.base import Transport

#: Designs that carry out instructions in order: at equal clocks they are the slow ones.
IN_ORDER: Final = frozenset(
    f"Cortex-{name}" for name in ("A5", "A7", "A35", "A53", "A55", "A320", "A510", "A520")
) | {"Kryo 2xx Silver", "Kryo 3xx Silver", "Kryo 4xx Silver"}


def by_speed(clusters: Sequence[Cluster]) -> tuple[Cluster, ...]:
    """Sort clusters, slowest first: by capacity if all report it, otherwise by design and clock.

    If neither is known, by number: most systems count their slow cores first.
    """

    def speed(cluster: Cluster) -> tuple[float, ...]:
        known = cluster.capacity if all(c.capacity is not None for c in clusters) else 0
        return (known or 0, cluster.part not in IN_ORDER, cluster.max_hz or 0, min(cluster.cores))

    return tuple(sorted(clusters, key=speed))


def choose_cluster_cores(
    clusters: Sequence[Cluster], affinity: Literal["auto"] | Sequence[int], *, threads: int
) -> tuple[int, ...]:
    """Return the cores to pin to, in order; `auto` takes the fastest that are alike.

    That is the fastest cluster with a core for each thread; then, where there are three or more,
    all but the slowest together; then the slowest alone; then the fastest cores there are. The
    last cores of a cluster, because interrupts and other programs gather on the first.

    Args:
        clusters: of the device, slowest first; empty if it reports none, then `auto` pins nothing
            and a list is taken as it is.
        affinity: of the device file.
        threads: of the runtime.

    Raises:
        UsageError: a core that was asked for is not there or switched off.

    Source: the order of big and little cores is LiteRT's. Deviation: cores of different clusters
    are mixed only where none has enough.
    """
    if affinity != "auto":
        return _checked(clusters, affinity)
    if not clusters:
        return ()
    *big, _ = reversed(clusters) if len(clusters) > 1 else (clusters[0], None)
    together = [core for cluster in reversed(big) for core in cluster.cores]
    choices = [cluster.cores for cluster in big]
    if len(clusters) > 2:
        choices.append(tuple(together))
    choices.append(clusters[0].cores)
    for cores in choices:
        if len(cores) >= threads:
            return tuple(sorted(cores[-threads:]))
    everything = [core for cluster in clusters for core in cluster.cores]
    return tuple(sorted(everything[-threads:]))


def _checked(clusters: Sequence[Cluster], affinity: Sequence[int]) -> tuple[int, ...]:
    cores = tuple(int(core) for core in affinity)
    usable = sorted(core for cluster in clusters for core in cluster.cores)
    if usable and (missing := sorted(set(cores) - set(usable))):
        msg = f"Cores {missing} are not available; the device or this process may use {usable}."
        raise UsageError(msg)
    return cores


def pin_words(link: Transport, cores: Sequence[int]) -> tuple[str, ...]:
    """Return the words before a command that keep it on `cores`; empty if nothing on it can.

    Old versions of BusyBox take a mask without 0x for a decimal number; toybox refuses one with it.
    """
    mask = f"{sum(1 << core for core in cores):x}"
    for word in (f"0x{mask}", mask) if cores else ():
        if link.run(["taskset", word, "true"], timeout_s=20).returncode == 0:
            return "taskset", word
    return ()
