"""`hwnat profile` of a few operations, with waits of seconds: in this process or one of its own.

As a program: `command.py SITE WORDS…` runs `hwnat WORDS…`; SITE is where the stubs are installed.
"""

import contextlib
import functools
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import hwnat.cli.main
import hwnat.device.gate
import hwnat.profile.plan
import hwnat.remote.blocks
import hwnat.remote.collect
import hwnat.remote.hold
import hwnat.remote.profile
import hwnat.remote.reach
import hwnat.transport.adb
import hwnat.transport.patient
import hwnat.transport.remote
from hwnat.profile.plan import Plan, reference_network
from hwnat.records.grid import distinct_ops
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO

LEASE_S = 4
PACE = {"patience_s": 3.0, "poll_s": 0.2, "block_s": 1.0, "first": 2, "limit_s": 2}
TIMES = {
    hwnat.device.gate: {"_STEP_S": 0.2},
    hwnat.remote.blocks: {"_CALL_S": 8.0, "_STOP_S": 3},
    hwnat.remote.collect: {"_POLL_S": 4.0},
    hwnat.transport.patient: {"_PAUSE_S": (0.2, 1.0)},
    hwnat.remote.profile: {"_FIRST_PAUSE_S": 0.1, "_FROZEN_S": 5.0},
    hwnat.transport.adb: {"WAIT_S": 3.0},
    hwnat.transport.remote: {"GRACE_S": 1.0},
}
#: The operations of the plan; with what starts a run there is one subject more.
OPS = 2
ROUNDS = 2


def small_plan() -> Plan:
    ops = tuple(distinct_ops(MBV3_NANO, (24,), classes=10, batch=1))
    return Plan(
        space=MBV3_NANO,
        resolutions=(24,),
        classes=10,
        batch=1,
        ops=ops[:OPS],
        overhead=OpSpec(kind="mix", in_shape=(1, 1, 1, 1), out_channels=1),
        calibration=(),
        validation=(),
        reference=reference_network(MBV3_NANO, (24,)),
    )


def be_quick(patch: pytest.MonkeyPatch) -> None:
    """Wait for seconds where hwnat waits for minutes, and profile `small_plan`."""
    for module, times in TIMES.items():
        for name, value in times.items():
            assert hasattr(module, name)
            patch.setattr(module, name, value)
    pace = functools.partial(hwnat.remote.reach.Pace, **PACE)
    patch.setattr(hwnat.remote.reach, "Pace", pace)
    held = hwnat.remote.hold.held.__wrapped__
    patch.setitem(held.__kwdefaults__, "lease_s", LEASE_S)
    # No space is as small as that.
    patch.setattr(hwnat.profile.plan, "make_plan", lambda *_, **__: small_plan())


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code and what it printed."""

    status: int
    out: str
    err: str


def run(words) -> Ended:
    """Run `hwnat WORDS…` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as streams:
        be_quick(patch)
        patch.setattr(sys, "argv", ["hwnat", *words])
        streams.enter_context(contextlib.redirect_stdout(out))
        streams.enter_context(contextlib.redirect_stderr(err))
        try:
            hwnat.cli.main.main()
        except SystemExit as end:
            return Ended(end.code, out.getvalue(), err.getvalue())
    raise AssertionError


if __name__ == "__main__":
    sys.path[:0] = [sys.argv[1], str(Path(__file__).parents[1])]
    be_quick(pytest.MonkeyPatch())
    sys.argv[:] = ["hwnat", *sys.argv[2:]]
    hwnat.cli.main.main()
