"""The cores of a device that a runner is pinned to."""

from collections.abc import Sequence
from typing import Final, Literal

from hwnat.errors import UsageError
from hwnat.records.machine import Cluster
from hwnat.transport.base import Transport

#: Designs that execute instructions in order; at equal clocks they are slower than others.
IN_ORDER: Final = frozenset(
    f"Cortex-{name}" for name in ("A5", "A7", "A35", "A53", "A55", "A320", "A510", "A520")
) | {"Kryo 2xx Silver", "Kryo 3xx Silver", "Kryo 4xx Silver"}


def by_speed(clusters: Sequence[Cluster]) -> tuple[Cluster, ...]:
    """Sort clusters, slowest first: by capacity if all report it, otherwise by design and clock.

    If neither is known, they are sorted by number, because most systems number slow cores first.
    """

    def speed(cluster: Cluster) -> tuple[float, ...]:
        known = cluster.capacity if all(c.capacity is not None for c in clusters) else 0
        return (known or 0, cluster.part not in IN_ORDER, cluster.max_hz or 0, min(cluster.cores))

    return tuple(sorted(clusters, key=speed))


def choose_cluster_cores(
    clusters: Sequence[Cluster], affinity: Literal["auto"] | Sequence[int], *, threads: int
) -> tuple[int, ...]:
    """Return the cores to pin to, in order; `auto` prefers the fastest cores of one kind.

    `auto` takes the first choice with a core for each thread: the fastest cluster; of three or more
    clusters, all but the slowest together; the slowest cluster; the fastest cores of all. It takes
    the last cores of a cluster, because interrupts and other programs gather on the first ones.

    Args:
        clusters: clusters of the device, slowest first. If the device reports none, `auto` pins
            nothing, and a list is not checked.
        affinity: `affinity` in the device file.
        threads: number of threads of the runtime.

    Raises:
        UsageError: a requested core does not exist or is switched off.

    Source: LiteRT chooses big and little cores in this order. Deviation: cores of different
    clusters are mixed only if no cluster has enough.
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
    """Return the words that pin a command to `cores`; empty if the device has no such program.

    Old versions of BusyBox read a mask without 0x as a decimal number; toybox refuses 0x.
    """
    mask = f"{sum(1 << core for core in cores):x}"
    for word in (f"0x{mask}", mask) if cores else ():
        if link.run(["taskset", word, "true"], timeout_s=20).returncode == 0:
            return "taskset", word
    return ()
