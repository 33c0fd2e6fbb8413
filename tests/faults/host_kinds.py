"""What befalls the command itself: each needs it as a process of its own, `child`."""

import os
import signal
import subprocess
import time

import numpy as np
from faults import command
from faults.kind import LOST, Kind, nothing
from faults.rig import PATIENCE_S, Rig


def killed(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.running.send_signal(signal.SIGKILL)


def terminated(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.running.send_signal(signal.SIGTERM)


def interrupted(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.running.send_signal(signal.SIGINT)


def asleep(rig: Rig, rng: np.random.Generator) -> None:
    """As a laptop whose lid is shut, for longer than its lease."""
    os.killpg(rig.running.pid, signal.SIGSTOP)
    time.sleep(float(rng.uniform(0.5, command.LEASE_S + 3.0)))
    os.killpg(rig.running.pid, signal.SIGCONT)


def second_host(rig: Rig, rng: np.random.Generator) -> None:
    """It has no lock in common with the first."""
    del rng
    elsewhere = rig.folder / "tmp"
    elsewhere.mkdir(exist_ok=True)
    _beside(rig, "other", XDG_RUNTIME_DIR=str(elsewhere))


def second_command(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    _beside(rig, "store")


def _beside(rig: Rig, store: str, **env: str) -> None:
    child = rig.child(store, **env)
    try:
        out, err = child.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
    rig.others.append(command.Ended(child.returncode, out, err))


KINDS = tuple(
    Kind(name, "host", cause, begin, nothing, passes=False, first=False, lingers=lingers)
    for name, cause, begin, lingers in (
        ("killed", "", killed, False),
        ("terminated", "", terminated, False),
        ("interrupted", "interrupted", interrupted, False),
        ("asleep", "released itself|" + LOST, asleep, True),
        ("second host", "in use", second_host, True),
        ("second command", "", second_command, True),
    )
)
