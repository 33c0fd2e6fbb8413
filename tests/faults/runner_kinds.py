"""What the runner's program does wrong on the device."""

from functools import partial

import numpy as np
from faults.kind import Kind
from faults.rig import Rig


def runner(rig: Rig, rng: np.random.Generator, *, line: str) -> None:
    """Spoil some of the runner's next starts, or all."""
    if rng.random() < 0.3:
        rig.spoil(f"{line}\n")
        return
    now = len(rig.started())
    hit = sorted({now + 1 + int(each) for each in rng.integers(4, size=3)})
    rig.spoil(f"case $count in {'|'.join(map(str, hit))})\n{line};; esac\n")


def mended(rig: Rig) -> None:
    rig.spoil("")


_SPOILT = r"cut off|is damaged|not the output|do not add up|printed nothing|and counts"
KINDS = tuple(
    Kind(f"runner {name}", "runner", cause, partial(runner, line=line), mended)
    for name, cause, line in (
        ("cut off", _SPOILT, "say | head -c 70; exit 0"),
        ("silent", "printed nothing", "exit 0"),
        ("reorders", _SPOILT,
         "say | { read -r x; read -r y; echo \"$y\"; echo \"$x\"; cat; }; exit 0"),
        ("doubles", _SPOILT, "say"),
        ("prints garbage", _SPOILT, "printf 'x\\377\\001\\033[2J\\nend 5 7\\n'; exit 0"),
        ("changes digits", "do not add up",
         "say | sed 's/^\\(model_ns .[0-9]*\\)[0-8]\\([0-9]\\) /\\19\\2 /'; exit 0"),
        ("hung", "killed at its time limit", "sleep 60"),
        ("killed", "ended with 137", "kill -9 $$"),
        ("fails", "ended with 7", "echo out of memory >&2; exit 7"),
        ("floods", _SPOILT, "head -c 2000000 /dev/zero; exit 0"),
        ("drifts", "not steady",
         "say | sed 's/^\\(reference_ns .*\\) [0-9]*$/\\1 '$((other * 2))'/;"
         "s/^end .*/end 5 '$((a + b + value + 3 * other))'/'; exit 0"),
    )
)  # fmt: skip
