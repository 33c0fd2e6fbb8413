"""What makes the measurements of a remote device unreliable, each with a remedy."""

import re
from collections.abc import Sequence
from typing import Final

from hwnat.device.cores import choose_cluster_cores
from hwnat.device.gate import refusals
from hwnat.device.identity import contradiction
from hwnat.device.settings import wanted
from hwnat.errors import UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Cluster, Machine
from hwnat.transport.base import Probe

#: Free space for the models, the runtime and the results of a profile.
_ROOM_MIB: Final = 500
#: Address of a phone on the network: an address with a port, or the name that it announces.
_WIRELESS: Final = re.compile(r".+:\d+|.+\._adb-tls-connect\._tcp\.?")
#: Governors that follow the load, so that the first runs of a visit are slow.
_FOLLOWING: Final = ("ondemand", "conservative", "interactive", "schedutil")


def doubts(spec: DeviceSpec, machine: Machine, reached: Probe) -> tuple[str, ...]:
    """Return what would make measurements on a remote device unreliable.

    Args:
        spec: the device file.
        machine: description and present state of the device.
        reached: what its working folder allows.
    """
    state = machine.conditions
    now = refusals(state, spec.gate, cores=spec.threads)
    reasons = [f"Not now: {reason}." for reason in now]
    other = contradiction(spec, machine)
    reasons += [] if other is None else [f"{other}."]
    reasons += _folder(reached)
    reasons += [f"{hint[0].upper()}{hint[1:]}." for hint in wanted(spec, machine).hints]
    reasons += _clocks(spec, machine)
    reasons += _cores(spec, machine.clusters)
    if (state.temperature_c, state.skin_c, state.thermal_status) == (None, None, None):
        reasons.append(
            "It reports no temperature: heat shows in the reference model only; cool it."
        )
    if spec.transport == "adb" and _WIRELESS.fullmatch(reached.address):
        reasons.append(
            "It is on the network, not on a cable: radio work disturbs the models, and the link "
            "may sleep with the screen. Use a USB cable."
        )
    return tuple(reasons)


def _folder(reached: Probe) -> list[str]:
    reasons = []
    if not reached.executable:
        reasons.append(f"No program starts in {reached.workdir}: set another workdir.")
    if reached.hash is None:
        reasons.append("It has neither sha256sum nor md5sum: install toybox or BusyBox.")
    if not reached.time_limit:
        reasons.append(
            "It has no `timeout` that knows -k, so nothing can be run: install toybox, coreutils, "
            "or BusyBox 1.34 or later."
        )
    free = reached.free_bytes
    if free is not None and free < _ROOM_MIB << 20:
        reasons.append(f"{reached.workdir} has {free >> 20} MiB left: free {_ROOM_MIB} MiB there.")
    return reasons


def _clocks(spec: DeviceSpec, machine: Machine) -> list[str]:
    state, reasons = machine.conditions, []
    android = machine.android_api is not None
    governors = (state.governor or "").split(",")
    following = next((name for name in governors if name in _FOLLOWING), None)
    if android and spec.clocks == "free":
        reasons.append('Clocks are free: set clocks = "fixed" for a level that it can sustain.')
    if "powersave" in governors:
        reasons.append("Governor is 'powersave', so everything is measured at the slowest clock.")
    elif following is not None and not android and spec.governor is None:
        how = 'governor = "performance" in the device file' if machine.root else "as root, log in"
        reasons.append(f"Governor '{following}' follows the load: to hold clocks, set {how}.")
    if not state.clocks_hz:
        reasons.append("Clocks cannot be read: rely on the ratios to the reference model.")
    most = {core: cluster.max_hz for cluster in machine.clusters for core in cluster.cores}
    if len(most) == len(state.limits_hz):
        pairs = [
            (limit, most[core]) for core, limit in zip(sorted(most), state.limits_hz, strict=True)
        ]
        low = next(((limit, full) for limit, full in pairs if full and limit < full), None)
        if low is not None:
            reasons.append(
                f"A clock is limited to {low[0] / 1e6:g} of {low[1] / 1e6:g} MHz: it throttles, "
                "saves power, or another program holds it; restart it if that stays."
            )
    return reasons


def _cores(spec: DeviceSpec, clusters: Sequence[Cluster]) -> list[str]:
    if not clusters:
        return [] if spec.affinity != "auto" else [_UNTOLD]
    try:
        cores = choose_cluster_cores(clusters, spec.affinity, threads=spec.threads)
    except UsageError as gone:
        return [str(gone)]
    reasons = []
    if len(cores) < spec.threads:
        reasons.append(
            f"{spec.threads} threads share {len(cores)} cores: lower `threads`, or name more cores."
        )
    mixed = [cluster for cluster in clusters if set(cluster.cores) & set(cores)]
    if len(mixed) > 1:
        sizes = ", ".join(str(len(cluster.cores)) for cluster in reversed(clusters))
        reasons.append(
            f"{spec.threads} threads run on cores of different speed (clusters of {sizes}): the "
            "slower ones set the pace; take as many threads as a cluster has cores."
        )
    return reasons


_UNTOLD: Final = (
    "It does not report its cores, so nothing is pinned and runs may move between fast and slow "
    "ones: set `affinity`."
)
