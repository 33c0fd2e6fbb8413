"""What a pretended device is like at the moment, and which of its settings were touched."""

import os

from played.models import Model, cpu_list, cpuinfo, write

#: As a device that has just started lies on a cool table.
AT_START = {
    "thermal_status": 0,
    "cpu_mc": 31_000,
    "skin_mc": 28_500,
    "battery_mc": 27_000,
    "battery_percent": 90,
    "plugged": 1,
    "clock_percent": 100,
    "hal_ready": 1,
    "fixed_performance_supported": 1,
}
#: What Android keeps only until it restarts.
UNTIL_RESTART = {"fixed_performance": 0, "wakefulness": "Awake"}
LOADAVG = "{:5.2f} {:5.2f} {:5.2f} 1/300 4000\n"


class State:
    """The facts of one device, which its programs read and write.

    Facts are named as in `AT_START`; temperatures, `_mc`, are in thousandths of a degree.
    """

    def __init__(self, machine, model: Model) -> None:
        self.machine, self.model = machine, model
        self.folder, self.sys = machine.place / "state", machine.place / "sys"
        self.proc = machine.place / "proc"
        for each in ("properties", "settings/global", "settings/secure", "settings/system"):
            (self.folder / each).mkdir(parents=True)
        for name in ("journal", "affinity"):
            (self.folder / name).touch()
        if model.android:
            (self.folder / "android").touch()
            self._write("settings/global/low_power", 0)
            self._write("settings/global/airplane_mode_on", 0)
            self._write("settings/global/stay_on_while_plugged_in", 0)
        for name, value in AT_START.items():
            self._write(name, value)

    def _write(self, name: str, value: object) -> None:
        write(self.folder / name, value, 0o644)

    def set(self, **facts: object) -> None:
        """Change facts: `set(thermal_status=3, clock_percent=60)`; clocks and zones follow."""
        unknown = facts.keys() - AT_START.keys()
        assert not unknown, f"no such facts: {unknown}"
        for name, value in facts.items():
            self._write(name, value)
        self.follow()

    def follow(self) -> None:
        if self.machine.on:
            self.machine.run(". /data/fixture/device.sh; apply").check_returncode()

    def get(self, name: str) -> str:
        """Return a fact, or `settings/global/low_power` and the like; empty if there is none."""
        path = self.folder / name
        return path.read_text().removesuffix("\n") if path.is_file() else ""

    def setting(self, name: str, value: object, *, space: str = "global") -> None:
        """Change a setting as its user would, without an entry in the journal."""
        self._write(f"settings/{space}/{name}", value)
        self.follow()

    def properties(self, **properties: str) -> None:
        for name, value in properties.items():
            self._write(f"properties/{name}", value)

    def load(self, average: float) -> None:
        """Have /proc/loadavg say that so many programs run; in place, for it is mounted there."""
        with (self.proc / "loadavg").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), LOADAVG.format(average, average, average).encode(), 0)

    def online(self, cores) -> None:
        """Switch cores on and off."""
        cpu = self.sys / "devices/system/cpu"
        write(cpu / "online", cpu_list(cores))
        for core in range(self.model.cores):
            write(cpu / f"cpu{core}/online", int(core in cores))
        text = cpuinfo(self.model, set(cores), native=self.machine.native).encode()
        with (self.proc / "cpuinfo").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), text, 0)
            file.truncate(len(text))

    @property
    def journal(self) -> list[str]:
        """Every command that changed a setting, in order."""
        return (self.folder / "journal").read_text().splitlines()

    @property
    def affinity(self) -> list[str]:
        """Every mask that a program was started with, and the program."""
        return (self.folder / "affinity").read_text().splitlines()

    def policies(self, name: str) -> list[str]:
        """Return a file of each cpufreq policy, such as `scaling_max_freq`."""
        cpufreq = self.sys / "devices/system/cpu/cpufreq"
        return [(each / name).read_text().strip() for each in sorted(cpufreq.iterdir())]

    @property
    def clocks(self) -> list[str]:
        """How fast each policy's cores may be, in kHz."""
        return self.policies("scaling_max_freq")

    @property
    def settings(self) -> dict[str, str]:
        """Everything that a profile may touch and has to restore; two of them can be compared."""
        found = {name: self.get(name) for name in (*UNTIL_RESTART, "thermal_override")}
        for path in sorted((self.folder / "settings").glob("*/*")):
            found[str(path.relative_to(self.folder))] = path.read_text().strip()
        for name in ("scaling_governor", "scaling_min_freq", "scaling_max_freq"):
            found[name] = " ".join(self.policies(name))
        return found
