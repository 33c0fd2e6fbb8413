"""What makes the numbers of a device elsewhere doubtful, each with what to do about it."""

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

#: A profile puts models, a runtime and results there.
_ROOM_MIB: Final = 500
#: A phone on the network: an address with a port, or the name it announces itself by.
_WIRELESS: Final = re.compile(r".+:\d+|.+\._adb-tls-connect\._tcp\.?")
#: Governors that follow the load, so that the first runs of a visit are slow.
_FOLLOWING: Final = ("ondemand", "conservative", "interactive", "schedutil")


def doubts(spec: DeviceSpec, machine: Machine, reached: Probe) -> tuple[str, ...]:
    """Return what stands in the way of good measurements on a device elsewhere.

    Args:
        spec: its file.
        machine: what it is and how it is now.
        reached: what can be done in its working folder.
    """
    state = machine.conditions
    now = refusals(state, spec.gate, cores=spec.threads)
    found = [f"Not now: {each}." for each in now]
    other = contradiction(spec, machine)
    found += [] if other is None else [f"{other}."]
    found += _folder(reached)
    found += [f"{hint[0].upper()}{hint[1:]}." for hint in wanted(spec, machine).hints]
    found += _clocks(spec, machine)
    found += _cores(spec, machine.clusters)
    if (state.temperature_c, state.skin_c, state.thermal_status) == (None, None, None):
        found.append("It tells no temperature: heat shows in the reference model only; cool it.")
    if spec.transport == "adb" and _WIRELESS.fullmatch(reached.address):
        found.append(
            "It is on the network, not on a cable: radio work takes turns with the models, and the "
            "link may sleep with the screen. Use a USB cable."
        )
    return tuple(found)


def _folder(reached: Probe) -> list[str]:
    found = []
    if not reached.executable:
        found.append(f"No program starts in {reached.workdir}: set another workdir.")
    if reached.hash is None:
        found.append("It has neither sha256sum nor md5sum: install toybox or BusyBox.")
    if not reached.time_limit:
        found.append(
            "It has no `timeout` that knows -k, so nothing can be run: install toybox, coreutils, "
            "or BusyBox 1.34 or later."
        )
    free = reached.free_bytes
    if free is not None and free < _ROOM_MIB << 20:
        found.append(f"{reached.workdir} has {free >> 20} MiB left: free {_ROOM_MIB} MiB there.")
    return found


def _clocks(spec: DeviceSpec, machine: Machine) -> list[str]:
    state, found = machine.conditions, []
    android = machine.android_api is not None
    governors = (state.governor or "").split(",")
    following = next((each for each in governors if each in _FOLLOWING), None)
    if android and spec.clocks == "free":
        found.append('Clocks are free: set clocks = "fixed" for a level that it can sustain.')
    if "powersave" in governors:
        found.append("Governor is 'powersave': every number is that of the slowest clock.")
    elif following is not None and not android and spec.governor is None:
        how = 'governor = "performance" in the device file' if machine.root else "as root, log in"
        found.append(f"Governor '{following}' follows the load: to hold clocks, set {how}.")
    if not state.clocks_hz:
        found.append("Clocks are not readable: rely on the ratios.")
    most = {core: each.max_hz for each in machine.clusters for core in each.cores}
    if len(most) == len(state.limits_hz):
        pairs = [
            (limit, most[core]) for core, limit in zip(sorted(most), state.limits_hz, strict=True)
        ]
        low = next(((limit, full) for limit, full in pairs if full and limit < full), None)
        if low is not None:
            found.append(
                f"A clock is limited to {low[0] / 1e6:g} of {low[1] / 1e6:g} MHz: it throttles, "
                "saves power, or another program holds it; restart it if that stays."
            )
    return found


def _cores(spec: DeviceSpec, clusters: Sequence[Cluster]) -> list[str]:
    if not clusters:
        return [] if spec.affinity != "auto" else [_UNTOLD]
    try:
        cores = choose_cluster_cores(clusters, spec.affinity, threads=spec.threads)
    except UsageError as gone:
        return [str(gone)]
    found = []
    if len(cores) < spec.threads:
        found.append(
            f"{spec.threads} threads share {len(cores)} cores: lower `threads`, or name more cores."
        )
    mixed = [each for each in clusters if set(each.cores) & set(cores)]
    if len(mixed) > 1:
        sizes = ", ".join(str(len(each.cores)) for each in reversed(clusters))
        found.append(
            f"{spec.threads} threads run on cores of different speed (clusters of {sizes}): the "
            "slower ones set the pace; take as many threads as a cluster has cores."
        )
    return found


_UNTOLD: Final = (
    "It does not tell its cores: nothing is pinned, and runs may move between fast and slow ones; "
    "name `affinity`."
)
