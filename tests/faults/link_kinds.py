"""What goes wrong with the link, and with what commands answer over it."""

import subprocess
from functools import partial

import numpy as np
from faults.kind import LOST, Kind, nothing
from faults.rig import Rig

#: How the link's commands are told apart: words of their scripts.
COMMANDS = {
    "any": "",
    "look": "lives=no",
    "start": r"plan-\$token",
    "lease": "echo taken",
    "settings": "set fixed_performance",
    "renew": "echo renewed",
    "push": r"chmod \"\$mode\"|cat >",
}
ODD = r"state of its block|it says|POSIX shell|not whole|damaged|garbage|differs|printed|lost|hash"


def calm(rig: Rig) -> None:
    rig.calm()


def of_commands(rig: Rig, rng: np.random.Generator, *, only: str | None = None, **harm) -> None:
    """Have some commands suffer, each in the same way."""
    where = only or str(rng.choice(["any", "look", "start", "lease", "settings"]))
    skip, times = int(rng.integers(3)) * (where in ("any", "look")), int(rng.integers(1, 4))
    harm |= {"only": COMMANDS[where], "skip": skip, "times": times}
    if rig.phone:
        rig.link.faults.clear()
        for name, value in harm.items():
            setattr(rig.link.faults, name, value)
    else:
        rig.link.disturb(**harm)


def mangles(rig: Rig, rng: np.random.Generator, *, how: str) -> None:
    of_commands(rig, rng, mangle=how, seed=int(rng.integers(1000)))


def cut_in_push(rig: Rig, rng: np.random.Generator) -> None:
    size = int(rng.integers(1, 50_000))
    if rig.phone:
        rig.link.faults.cut_received, rig.link.faults.times = size, int(rng.integers(1, 3))
        rig.link.cut()
    else:
        of_commands(rig, rng, only="push", cut_received=size // 2)


def cut_in_run(rig: Rig, rng: np.random.Generator) -> None:
    of_commands(rig, rng, cut_after=int(rng.integers(0, 3000)))


def truncated(rig: Rig, rng: np.random.Generator) -> None:
    of_commands(rig, rng, truncate=int(rng.integers(0, 2000)))


def garbage_said(rig: Rig, rng: np.random.Generator) -> None:
    of_commands(rig, rng, says=rng.bytes(int(rng.integers(1, 400))))


def hangs(rig: Rig, rng: np.random.Generator) -> None:
    of_commands(rig, rng, only="look", hang=True)


def slow(rig: Rig, rng: np.random.Generator) -> None:
    of_commands(rig, rng, only="any", delay_s=float(rng.uniform(0.01, 0.05)))
    if rig.phone:
        rig.link.faults.times = None


def cut(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.link.cut()


def away(rig: Rig, rng: np.random.Generator, *, restart: bool, longest_s: float) -> None:
    rig.link.away(float(rng.uniform(0.1, longest_s)), restart=restart)


def gone(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.link.away(300)


def shut(rig: Rig, rng: np.random.Generator, *, how: str) -> None:
    """Answer no host, or let none in."""
    del rng
    setattr(rig.link.faults, how, True)
    rig.link.cut()


def open_again(rig: Rig) -> None:
    rig.link.faults.silent = rig.link.faults.deny = False
    rig.link.cut()


def lock_out(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    place = rig.link.place
    (place / "authorized").rename(place / "authorized.away")
    rig.link.cut()


def let_in(rig: Rig) -> None:
    place = rig.link.place
    (place / "authorized.away").rename(place / "authorized")


def another_key(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    text = (rig.link.place / "known").read_text()
    # The last letters are the key's, and those before them its kind and length.
    (rig.link.place / "known").write_text(text[:-9] + text[-9:].swapcase())
    rig.link.cut()


def flipped(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    rig.link.faults.flip = True


def unflipped(rig: Rig) -> None:
    rig.link.faults.flip = False


def adb_killed(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    subprocess.run([rig.device.client, "kill-server"], capture_output=True, check=False)


KINDS = (
    Kind("cut in a push", "link", LOST + "|differs", cut_in_push, calm, of=(True, False)),
    Kind("cut in a run", "link", LOST, cut_in_run, calm),
    Kind("cut between calls", "link", LOST, cut, nothing),
    Kind("away for a moment", "link", LOST, partial(away, restart=False, longest_s=2.0), calm),
    Kind("unplugged", "link", LOST, gone, calm),
    Kind("restarted", "link", LOST + "|restart|[Ee]very block on|clocks",
         partial(away, restart=True, longest_s=1.5), calm),
    Kind("offline", "link", LOST, partial(shut, how="silent"), open_again, of=(True,)),
    Kind("unauthorised", "link", "has not allowed", partial(shut, how="deny"), open_again,
         of=(True,)),
    Kind("key refused", "link", "does not let this user in", lock_out, let_in, of=(False,)),
    Kind("host key changed", "link", "host key", another_key, lambda rig: rig.link.trust(),
         of=(False,)),
    Kind("truncated answers", "link", f"{LOST}|{ODD}", truncated, calm),
    Kind("reordered answers", "link", f"{LOST}|{ODD}", partial(mangles, how="reorder"), calm),
    Kind("doubled answers", "link", f"{LOST}|{ODD}", partial(mangles, how="double"), calm),
    Kind("lines missing", "link", f"{LOST}|{ODD}", partial(mangles, how="drop"), calm),
    Kind("garbage in answers", "link", f"{LOST}|{ODD}", partial(mangles, how="garbage"), calm),
    Kind("garbage for answers", "link", f"{LOST}|{ODD}", garbage_said, calm),
    Kind("no answer", "link", LOST, hangs, calm),
    Kind("slow link", "link", LOST, slow, calm),
    Kind("flipped in a push", "link", "differs", flipped, unflipped, of=(True,)),
    Kind("adb server killed", "link", LOST + "|adb server", adb_killed, nothing, of=(True,)),
)  # fmt: skip
