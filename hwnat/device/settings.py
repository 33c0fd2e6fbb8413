"""The settings that hwnat changes on a device while models are timed.

Each previous value is noted in a journal on the device before the change. This host, the next one
or the device itself restores from that journal: known names and valid values, nothing else. What a
device printed is never part of a command.
"""

from dataclasses import dataclass
from typing import Final

from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine

#: First Android API level with a mode of clocks that the device can sustain.
_FIXED_SINCE: Final = 30

#: Name in a journal -> the setting, its value, and a hint if it cannot be set.
WORDS: Final = {
    "fixed_performance": (
        "fixed-performance mode",
        "fixed-performance mode on",
        "it has no fixed-performance mode, so clocks stay free; rely on the ratios",
    ),
    "low_power": ("battery saver", "battery saver off", "battery saver stays on: turn it off"),
    "screen": ("screen", "screen off", "the screen stays on: turn it off"),
    "governor": ("governor", "governor set", "it does not accept the governor of the device file"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The settings that a device file asks for and the device can have.

    Attributes:
        fixed: fixed-performance mode on.
        saver_off: battery saver off.
        screen_off: screen off.
        governor: for all cores; empty leaves it alone.
        hints: what the device cannot have, and why.
    """

    fixed: bool = False
    saver_off: bool = False
    screen_off: bool = False
    governor: str = ""
    hints: tuple[str, ...] = ()

    @property
    def words(self) -> dict[str, str]:
        """Return the arguments of `prepare.sh`."""
        flags = {"fixed": self.fixed, "saver_off": self.saver_off, "screen_off": self.screen_off}
        words = {name: "yes" if flag else "no" for name, flag in flags.items()}
        return {**words, "governor": self.governor}


def wanted(spec: DeviceSpec, machine: Machine) -> Wanted:
    """Return the settings that a device should have while models are timed.

    The screen goes off because it heats the phone and takes memory bandwidth; it stays as it is if
    models run on the GPU.
    """
    hints = []
    api = machine.android_api
    fixed = spec.clocks == "fixed" and api is not None and api >= _FIXED_SINCE
    if spec.clocks == "fixed" and api is not None and not fixed:
        hints.append(f"Android API {api} has no fixed-performance mode, so clocks stay free")
    if spec.governor is not None and not machine.root:
        hints.append(f"only root may set governor '{spec.governor}', so it stays as it is")
    return Wanted(
        fixed=fixed,
        saver_off=api is not None,
        screen_off=api is not None and spec.delegate != "gpu",
        governor=spec.governor if spec.governor is not None and machine.root else "",
        hints=tuple(hints),
    )
