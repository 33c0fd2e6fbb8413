"""The latency estimate in the output of Arm's compiler Vela.

Vela estimates only the operators that run on the NPU, so an estimate is refused if any operator is
left to the CPU.
"""

import re
from typing import Final

from hwnat.errors import DataError, DeviceError

#: With `--show-cpu-operations` Vela lists the operators that it leaves to the CPU.
_ON_CPU: Final = re.compile(r"^ +CPU: .*? = (\S+) \(outputs", re.MULTILINE)
_SHOWN: Final = 5
#: Vela rounds the time to hundredths of a millisecond.
_ROUNDING_NS: Final = 5_100


def read_latency_ns(text: str, *, where: str) -> int:
    """Return the estimated latency of a network in ns.

    Args:
        text: everything Vela printed.
        where: name of the network for messages.

    Raises:
        DeviceError: operators are left to the CPU; the message names them.
        DataError: the text is incomplete or contradicts itself.
    """
    on_cpu = int(_one(text, "CPU operators", r"= (\d{1,9}) \(.*\)", where=where))
    on_npu = int(_one(text, "NPU operators", r"= (\d{1,9}) \(.*\)", where=where))
    names = list(dict.fromkeys(_ON_CPU.findall(text)))
    left = max(on_cpu, len(names))
    if left:
        shown = f" ({', '.join(names[:_SHOWN])})" if names else ""
        more = f" and {left - _SHOWN} more" if names and left > _SHOWN else ""
        msg = (
            f"{where}: {'' if on_npu else 'all '}{left} operators fall back to the CPU{shown}"
            f"{more}, so the estimate lacks their time. Leave them out of the network, or choose "
            "an accelerator that runs them."
        )
        raise DeviceError(msg)
    cycles = int(_one(text, "Total cycles", r" +(\d{1,18}) cycles/batch", where=where))
    clock_mhz = int(_one(text, "Accelerator clock", r" +(\d{1,6}) MHz", where=where))
    ms = float(_one(text, "Batch Inference time", r" +(\d{1,9}\.\d{1,9}) ms,.*\)", where=where))
    if not cycles or not clock_mhz or abs(cycles * 1e3 / clock_mhz - ms * 1e6) > _ROUNDING_NS:
        msg = (
            f"{where}: Vela's output contradicts itself: {cycles} cycles at {clock_mhz} MHz do not "
            f"take {ms} ms. Run the same hwnat profile command again."
        )
        raise DataError(msg)
    return max(1, round(cycles * 1e3 / clock_mhz))


def _one(text: str, label: str, pattern: str, *, where: str) -> str:
    """Return the value of the only line with a label."""
    values = re.findall(rf"^{label} *{pattern}$", text, re.MULTILINE)
    if len(values) != 1:
        msg = (
            f"{where}: Vela's output has {len(values)} lines '{label}', expected 1; it is cut off "
            "or damaged. Run the same hwnat profile command again."
        )
        raise DataError(msg)
    return str(values[0])
