"""ncnn's `benchncnn`, which prints on stderr."""

import re
from typing import Final

from hwnat.device.runners.logs.output import NUMBER, Output
from hwnat.device.runners.logs.record import RuntimeLog, Timing

TOOL: Final = "benchncnn"

_SETTINGS: Final = ("loop_count", "num_threads", "powersave", "gpu_device", "cooling_down")
#: In milliseconds, which the tool does not print.
_RESULT: Final = re.compile(rf" *(\S+)  min = +({NUMBER})  max = +({NUMBER})  avg = +({NUMBER})")


def read(out: Output) -> RuntimeLog:
    """Read the output of one network; complete with the network's line.

    Raises:
        DataError: it is incomplete, or of several networks.
    """
    lines = out.lines
    setting = {name: out.match_one(rf"{name} = (-?\d+)", lines, name)[1] for name in _SETTINGS}
    found = [match for line in lines if (match := _RESULT.fullmatch(line))]
    if any("  min = " in line or "  avg = " in line for line in lines) and not found:
        out.wrong("the line of its network is not readable")
    if not found:
        out.cut("the line of its network")
    if len(found) > 1:
        out.wrong(f"it is of {len(found)} networks; give benchncnn the param file of one")
    _, least, most, average = found[0].groups()
    return RuntimeLog(
        tool=TOOL,
        generation="text",
        inference=Timing(
            count=out.count(setting["loop_count"], "loop_count"),
            min_ns=out.ns(least, "ms", "min"),
            avg_ns=out.ns(average, "ms", "avg"),
            max_ns=out.ns(most, "ms", "max"),
        ),
    )
