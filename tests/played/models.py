"""Which phones and boards there are: clusters, clocks and names, as files of /sys and /proc."""

import re
from dataclasses import dataclass, field
from pathlib import Path

GOVERNORS = "schedutil performance powersave"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Cores of one kind: `part` is Arm's number for it, `capacity` of 1024."""

    cores: int
    part: int
    max_khz: int
    capacity: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a device is; `android` ones have Android's services, others a Linux with root."""

    name: str
    clusters: tuple[Cluster, ...]
    android: bool = True
    soc: str = "FX100"
    zones: tuple[str, ...] = ("cpu-0-0", "cpu-1-0", "gpuss-0", "skin-therm", "battery")
    closed_zones: tuple[str, ...] = ("modem-tz",)
    battery: bool = True
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def cores(self) -> int:
        return sum(cluster.cores for cluster in self.clusters)

    @property
    def policies(self) -> list[tuple[range, Cluster]]:
        """The cores of each cluster, with the cluster."""
        found, first = [], 0
        for cluster in self.clusters:
            found.append((range(first, first + cluster.cores), cluster))
            first += cluster.cores
        return found


LITTLE = Cluster(cores=4, part=0xD05, max_khz=1_803_000, capacity=250)
MODELS = {
    "phone 4+3+1": Model(
        name="Fixture 8",
        clusters=(
            LITTLE,
            Cluster(cores=3, part=0xD41, max_khz=2_348_000, capacity=768),
            Cluster(cores=1, part=0xD44, max_khz=2_850_000, capacity=1024),
        ),
    ),
    "phone 2+6": Model(
        name="Fixture 5",
        soc="FX50",
        clusters=(
            Cluster(cores=6, part=0xD05, max_khz=1_804_000, capacity=378),
            Cluster(cores=2, part=0xD0D, max_khz=2_208_000, capacity=1024),
        ),
    ),
    "8 equal cores": Model(
        name="Fixture 1",
        soc="FX10",
        clusters=(Cluster(cores=8, part=0xD03, max_khz=2_002_000, capacity=1024),),
    ),
    "board": Model(
        name="Fixture Board 4",
        android=False,
        soc="FX2711",
        clusters=(Cluster(cores=4, part=0xD08, max_khz=1_500_000, capacity=1024),),
        zones=("cpu-thermal",),
        closed_zones=(),
        battery=False,
    ),
}


def cpu_list(cores) -> str:
    """Write core numbers as the kernel does: `0-3,7`."""
    runs: list[list[int]] = []
    for core in sorted(cores):
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def write(path: Path, text: object, mode: int = 0o444) -> None:
    """Write a file of /sys; a program that reads it sees the old line or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(f"{text}\n")
    new.chmod(mode)
    new.replace(path)


def write_sys(sys: Path, model: Model) -> None:
    """Write a device's /sys, as it is after it has started."""
    cpu = sys / "devices/system/cpu"
    for name in ("online", "possible", "present"):
        write(cpu / name, cpu_list(range(model.cores)))
    mode = 0o444 if model.android else 0o644
    for cores, cluster in model.policies:
        write_policy(cpu / f"cpufreq/policy{cores[0]}", cores, cluster, mode)
        for core in cores:
            here = cpu / f"cpu{core}"
            write(here / "online", 1, mode)
            write_topology(here, core, cores)
            if len(model.clusters) > 1:
                write(here / "cpu_capacity", cluster.capacity)
            link = here / "cpufreq"
            if not link.is_symlink():
                link.symlink_to(f"../cpufreq/policy{cores[0]}")
    write(sys / "devices/system/node/node0/cpulist", cpu_list(range(model.cores)))
    write(sys / "devices/system/node/online", 0)
    for number, zone in enumerate(model.zones + model.closed_zones):
        here = sys / f"class/thermal/thermal_zone{number}"
        write(here / "type", zone)
        write(here / "temp", 30_000, 0 if zone in model.closed_zones else 0o444)
    if model.battery:
        for name, value in (("type", "Battery"), ("capacity", 90), ("temp", 270)):
            write(sys / "class/power_supply/battery" / name, value)
        write(sys / "class/power_supply/battery/status", "Charging")
    if not model.android:
        tree = sys / "firmware/devicetree/base"
        tree.mkdir(parents=True, exist_ok=True)
        (tree / "model").write_bytes(model.name.encode() + b"\0")


def write_topology(here: Path, core: int, cores: range) -> None:
    """Write which cores and caches are near one; runtimes without it fall over their guesses."""
    beside = {"core_id": core, "physical_package_id": 0, "cluster_id": cores[0]}
    lists = {"core_cpus_list": [core], "thread_siblings_list": [core], "cluster_cpus_list": cores}
    masks = {name.removesuffix("_list"): each for name, each in lists.items()}
    beside |= {name: cpu_list(each) for name, each in lists.items()}
    beside |= {name: f"{sum(1 << one for one in each):x}" for name, each in masks.items()}
    for name, value in beside.items():
        write(here / "topology" / name, value)
    kinds = ((1, "Data", "32K", [core]), (1, "Instruction", "32K", [core]))
    for index, (level, kind, size, shared) in enumerate((*kinds, (2, "Unified", "512K", cores))):
        cache = here / f"cache/index{index}"
        for name, value in (("level", level), ("type", kind), ("size", size)):
            write(cache / name, value)
        write(cache / "shared_cpu_list", cpu_list(shared))


def write_policy(here: Path, cores: range, cluster: Cluster, mode: int) -> None:
    fixed = {
        "related_cpus": " ".join(map(str, cores)),
        "affected_cpus": " ".join(map(str, cores)),
        "cpuinfo_max_freq": cluster.max_khz,
        "cpuinfo_min_freq": 300_000,
        "scaling_available_governors": GOVERNORS,
        "scaling_cur_freq": cluster.max_khz,
    }
    for name, value in fixed.items():
        write(here / name, value)
    write(here / "scaling_max_freq", cluster.max_khz, mode)
    write(here / "scaling_min_freq", 300_000, mode)
    write(here / "scaling_governor", "schedutil", mode)


def cpuinfo(model: Model, online: set[int], *, native: bool) -> str:
    """Return /proc/cpuinfo; where x86 programs run, it has what their libraries look for, too."""
    host = {}
    if native:
        block = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        host = dict(re.findall(r"^([^\t:]+?)\s*: ?(.*)$", block, re.MULTILINE))
    blocks = []
    for cores, cluster in model.policies:
        for core in cores:
            lines = host | {"processor": core, "BogoMIPS": "49.15"}
            if native:
                ids = ("core id", "apicid", "initial apicid")
                lines |= dict.fromkeys(ids, core)
                lines |= dict.fromkeys(("siblings", "cpu cores"), model.cores)
            lines |= {"Features": "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimddp"}
            lines |= {"CPU implementer": "0x41", "CPU architecture": "8", "CPU variant": "0x1"}
            lines |= {"CPU part": f"0x{cluster.part:x}", "CPU revision": "0"}
            if core in online:
                blocks.append("".join(f"{key}\t: {value}\n" for key, value in lines.items()))
    return "\n".join(blocks) + f"\nHardware\t: {model.soc}\n"


def properties(model: Model, *, native: bool) -> dict[str, str]:
    """Return Android's properties."""
    abi = "x86_64" if native else "arm64-v8a"
    code = model.name.lower().replace(" ", "")
    return {
        "ro.product.manufacturer": "Fixture",
        "ro.product.brand": "fixture",
        "ro.product.model": model.name,
        "ro.product.device": code,
        "ro.product.name": code,
        "ro.product.cpu.abi": abi,
        "ro.product.cpu.abilist": abi,
        "ro.soc.manufacturer": "Fixture",
        "ro.soc.model": model.soc,
        "ro.board.platform": model.soc.lower(),
        "ro.hardware": code,
        "ro.build.version.release": "14",
        "ro.build.version.sdk": "34",
        "ro.build.fingerprint": f"fixture/{code}/{code}:14/FX1A.240101.001/1:user/release-keys",
        "ro.serialno": "FX0123456789",
        "sys.boot_completed": "1",
        **model.properties,
    }
