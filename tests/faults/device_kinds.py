"""What goes wrong on the device: its disk, its state, its processes."""

from functools import partial

import numpy as np
from faults.kind import LOST, Kind, kills, nothing
from faults.rig import Rig
from played.faults import FOREIGN
from played.models import write

LOWERED = r"lowered a clock's limit"
HEAT = rf"thermal status|thermal zone|°C|throttles|was not steady|{LOWERED}"
CORE_OFF = rf"cores? off|cores .* are not available|keep a program on cores|taskset|{LOWERED}"


def fill(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.machine.fill()


def noexec(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.machine.noexec(True)


def exec_again(rig: Rig) -> None:
    if rig.machine.on:
        rig.machine.noexec(False)


def foreign(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    tools = rig.at("tools")
    (tools / "new").write_bytes(FOREIGN)
    (tools / "new").chmod(0o755)
    (tools / "new").replace(tools / "stub-run")


def facts(rig: Rig, rng: np.random.Generator, **values) -> None:
    del rng
    rig.machine.state.set(**values)


def fewer_clocks(rig: Rig, rng: np.random.Generator) -> None:
    percent = int(rng.integers(30, 90))
    if rig.phone:
        rig.machine.state.set(clock_percent=percent)
        return
    for each in sorted((rig.machine.state.sys / "devices/system/cpu/cpufreq").iterdir()):
        most = int((each / "cpuinfo_max_freq").read_text())
        write(each / "scaling_max_freq", most * percent // 100, 0o644)


def all_clocks(rig: Rig) -> None:
    rig.machine.state.set(clock_percent=100)
    for each in sorted((rig.machine.state.sys / "devices/system/cpu/cpufreq").iterdir()):
        if not rig.phone:
            write(each / "scaling_max_freq", (each / "cpuinfo_max_freq").read_text().strip(), 0o644)


def cool(rig: Rig) -> None:
    rig.machine.state.set(thermal_status=0, cpu_mc=31_000, skin_mc=28_500, battery_mc=27_000)


def saver(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.machine.state.setting("low_power", 1)


def no_saver(rig: Rig) -> None:
    rig.machine.state.setting("low_power", 0)


def busy(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.machine.state.load(2000)


def idle(rig: Rig) -> None:
    rig.machine.state.load(0.2)


def cores_off(rig: Rig, rng: np.random.Generator) -> None:
    cores = rig.machine.state.model.cores
    rig.machine.state.online(set(range(cores)) - {int(rng.integers(1, cores - 1))})


def cores_on(rig: Rig) -> None:
    rig.machine.state.online(range(rig.machine.state.model.cores))


def damage(rig: Rig, rng: np.random.Generator) -> None:
    """Change what lies on the device for the host to collect, or cut it off."""
    for path in rig.at("jobs").glob("*/results/*"):
        try:
            data = bytearray(path.read_bytes())
            data[int(rng.integers(len(data)))] ^= 1
            path.write_bytes(data[: int(rng.integers(1, 2 * len(data)))])
        except (OSError, ValueError):
            continue


KINDS = (
    Kind("disk full", "disk", "disk.* is full( or broken)?", fill, lambda rig: rig.machine.free()),
    Kind("noexec", "disk", "No program starts|executable|ermission denied|cannot execute",
         noexec, exec_again),
    Kind("wrong ABI", "disk", "executable|xec format|cannot execute|syntax error|unexpected|ended",
         foreign, nothing, first=False),
    Kind("throttled", "state", HEAT, partial(facts, thermal_status=3), cool, of=(True,)),
    Kind("hot", "state", HEAT, partial(facts, cpu_mc=95_000), cool),
    Kind("clocks drop", "state", HEAT, fewer_clocks, all_clocks),
    Kind("battery low", "state", "battery holds", partial(facts, battery_percent=9),
         lambda rig: rig.machine.state.set(battery_percent=90), of=(True,)),
    Kind("battery saver", "state", f"saves power|{LOWERED}", saver, no_saver, of=(True,)),
    Kind("busy", "state", "load is", busy, idle),
    Kind("core off", "state", CORE_OFF, cores_off, cores_on),
    Kind("no fixed clocks", "state", "free ones|clocks",
         partial(facts, fixed_performance_supported=0),
         lambda rig: rig.machine.state.set(fixed_performance_supported=1), of=(True,)),
    Kind("driver killed", "process", "[Ee]very block on|kills", partial(kills, word="/driver"),
         nothing, first=False),
    Kind("keeper killed", "process", "released itself", partial(kills, word="keeper"), nothing,
         first=False),
    Kind("all killed", "process", LOST + "|[Ee]very block on", partial(kills, word=""), nothing,
         first=False),
    Kind("results damaged", "process", "hash|damaged|differs|match", damage, nothing, first=False),
)  # fmt: skip
