"""Probe a device in one call: system, cores and state."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from hwnat.device.cores import by_speed
from hwnat.device.state import conditions, integer, numbered, parse_facts, zones
from hwnat.device.state import parse_state as parse_state
from hwnat.errors import DeviceError
from hwnat.records.machine import Cluster, Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.base import Transport
from hwnat.transport.shell import script
from hwnat.transport.words import printable

_HASH: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}\b", re.ASCII)
#: Keys and values of /proc/cpuinfo.
Lines = Sequence[tuple[str, str]]
#: Separates the two parts of the output of `scripts/probe.sh`.
_BETWEEN: Final = "\n--\n"
_ARM: Final = {
    0xB76: "Arm1176",
    0xC05: "Cortex-A5",
    0xC07: "Cortex-A7",
    0xC08: "Cortex-A8",
    0xC09: "Cortex-A9",
    0xC0E: "Cortex-A17",
    0xC0F: "Cortex-A15",
    0xD01: "Cortex-A32",
    0xD02: "Cortex-A34",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD06: "Cortex-A65",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4B: "Cortex-A78C",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
    0xD85: "Cortex-X925",
    0xD87: "Cortex-A725",
}
_QUALCOMM: Final = {
    0x800: "Kryo 2xx Gold",
    0x801: "Kryo 2xx Silver",
    0x802: "Kryo 3xx Gold",
    0x803: "Kryo 3xx Silver",
    0x804: "Kryo 4xx Gold",
    0x805: "Kryo 4xx Silver",
}
#: Maker -> number of a design -> its name; from Linux's tables of both.
_PARTS: Final[Mapping[int, Mapping[int, str]]] = {0x41: _ARM, 0x51: _QUALCOMM}
#: Android's name of an instruction set -> that of `uname -m`.
_ABIS: Final = {"arm64-v8a": "aarch64", "armeabi-v7a": "armv7l", "x86_64": "x86_64", "x86": "i686"}


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_state(link: Transport) -> Conditions:
    """Read clocks, temperatures, battery and load; a value that is not reported is None."""
    done = link.run(script("device/read_state"), timeout_s=60)
    return parse_state(done.stdout, at=now())


def probe_machine(link: Transport) -> Machine:
    """Read the description and the state of a device; a value that is not reported is None.

    Raises:
        DeviceError: the device cannot be reached, or its answer is incomplete.
    """
    done = link.run(script("device/probe"), timeout_s=60)
    return parse_probe(done.stdout, at=now())


def read_serial(link: Transport) -> str | None:
    """Return twelve hexadecimal digits of a hash of a device's serial number; None if it has none.

    Raises:
        DeviceError: it cannot be reached.
    """
    match = _HASH.match(link.run(script("device/serial"), timeout_s=20).stdout)
    return match[1] if match else None


def parse_probe(text: str, *, at: str) -> Machine:
    """Parse the output of `probe.sh`.

    Args:
        text: the complete output.
        at: time of the reading in UTC, ISO 8601.

    Raises:
        DeviceError: the text is cut or damaged.
    """
    first, _, second = text.replace("\r\n", "\n").partition(_BETWEEN)
    facts, state = parse_facts(first), parse_facts(second)
    if facts is None or state is None:
        msg = (
            "The device's description of itself is not whole. Run the same command again; if that "
            "does not help, check its shell and programs. It ends: "
            f"{printable(text, limit=100) or 'nothing'}"
        )
        raise DeviceError(msg)
    pairs = [line.partition(":") for line in numbered(facts, "cpu").values()]
    lines = [(key.strip(), value.strip()) for key, _, value in pairs]
    clusters = _clusters(facts, _parts(lines))
    memory = re.fullmatch(r"(\d{1,12}) kB", facts.get("memory", ""), re.ASCII)
    return Machine(
        host=_host(facts, lines, clusters),
        conditions=conditions(state, at=at),
        clusters=clusters,
        abi=_abi(facts),
        android_api=integer(facts.get("ro_build_version_sdk"), low=1, high=999),
        root=facts.get("user") == "0",
        memory_bytes=int(memory[1]) * 1024 if memory else None,
        zones_c=zones(state),
    )


def _host(facts: Mapping[str, str], lines: Lines, clusters: tuple[Cluster, ...]) -> Host:
    models = (value for key, value in lines if key in {"model name", "Hardware", "Model"})
    model = next(filter(None, models), None)
    soc = _named(facts, "ro_soc_manufacturer", "ro_soc_model")
    soc = soc or facts.get("ro_board_platform") or facts.get("ro_hardware")
    if soc is None and (tree := facts.get("tree_compatible", "").split()):
        soc = tree[-1]
    designs = [f"{len(cluster.cores)}x {cluster.part}" for cluster in clusters if cluster.part]
    android = facts.get("ro_build_version_release")
    release = f"Android {android}" if android else facts.get("release", "").strip("\"'")
    counted = sum(key == "processor" for key, _ in lines)
    return Host(
        cpu=model or soc or " + ".join(designs) or None,
        # Present cores are counted, because some of them may sleep at the moment.
        cores=len(core_list(facts.get("present")))
        or counted
        or len(core_list(facts.get("online")))
        or None,
        machine=facts.get("machine"),
        os=", ".join(filter(None, [release, facts.get("kernel")])) or None,
        soc=soc,
        board=_named(facts, "ro_product_manufacturer", "ro_product_model")
        or facts.get("tree_model", "").strip()
        or None,
        build=facts.get("ro_build_fingerprint"),
    )


def _named(facts: Mapping[str, str], maker: str, model: str) -> str | None:
    """Return maker and model; some models begin with the maker's name already."""
    if model not in facts:
        return None
    given, name = facts.get(maker, ""), facts[model]
    return name if name.lower().startswith(given.lower()) else f"{given} {name}"


def _abi(facts: Mapping[str, str]) -> str | None:
    """Return the instruction set of programs; a 64-bit kernel may run only 32-bit ones."""
    if "ro_product_cpu_abi" in facts:
        return _ABIS.get(facts["ro_product_cpu_abi"])
    machine = facts.get("machine")
    if facts.get("bits") == "32":
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine or "", machine)
    return machine


def _parts(lines: Lines) -> dict[int, str]:
    """Return the design of each core."""
    designs: dict[int, str] = {}
    core = maker = None
    for key, value in lines:
        if key == "processor":
            core, maker = integer(value, low=0, high=9999), None
        elif not re.fullmatch(r"0x[0-9a-f]{1,4}", value):
            continue
        elif key == "CPU implementer":
            maker = int(value, 16)
        elif key == "CPU part" and core is not None:
            part = int(value, 16)
            designs[core] = _PARTS.get(maker or 0, {}).get(part, f"0x{part:03x}")
    return designs


def _clusters(facts: Mapping[str, str], parts: Mapping[int, str]) -> tuple[Cluster, ...]:
    """Return the clusters of cores that share a clock, slowest first.

    If every core has its own clock, as on a PC, cores that are otherwise alike form a cluster.
    """
    related, most = numbered(facts, "related"), numbered(facts, "most")
    capacity = numbered(facts, "capacity")
    known = sorted({*related, *most, *capacity, *parts})
    online = core_list(facts.get("online")) or known
    groups: dict[tuple[object, ...], list[int]] = {}
    for core in known:
        if core not in online:
            continue
        shared = related.get(core, "").split()
        khz = integer(most.get(core), low=1, high=100_000_000)
        power = integer(capacity.get(core), low=1, high=1 << 20)
        key = (tuple(shared) if len(shared) > 1 else (), khz, power, parts.get(core))
        groups.setdefault(key, []).append(core)
    return by_speed([_cluster(cores, *key[1:]) for key, cores in groups.items()])


def _cluster(cores: list[int], *told: object) -> Cluster:
    khz, power, part = told
    return Cluster(
        cores=tuple(cores),
        max_hz=khz * 1000 if isinstance(khz, int) else None,
        capacity=power if isinstance(power, int) else None,
        part=str(part) if part else None,
    )


def core_list(text: str | None) -> tuple[int, ...]:
    """Parse the kernel's notation for core numbers; return nothing for any other text.

    >>> core_list("0-2,5")
    (0, 1, 2, 5)
    """
    cores: list[int] = []
    for piece in (text or "").split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", piece, re.ASCII)
        if match is None:
            return ()
        cores += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(cores)
