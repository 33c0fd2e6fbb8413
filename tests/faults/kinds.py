"""What can go wrong while a device is profiled, and what the command has to say about it."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from device.faults import FOREIGN
from device.models import write
from faults import host_kinds
from faults.rig import Rig

#: How the link's commands are told apart: words of their scripts.
COMMANDS = {
    "any": "",
    "look": "lives=no",
    "start": r"plan-\$2",
    "lease": "echo taken",
    "settings": "set fixed_performance",
    "renew": "echo renewed",
    "push": r"set -- |chmod \"\$3\"|cat >",
}
LOST = r"link .*lost|offline|no device|not found|does not answer|refused|closed the connection"
LOST += r"|did not answer|reach|still connecting"
ODD = r"what its block does|POSIX shell|not whole|damaged|garbage|differs|printed|lost|hash"
HEAT = r"thermal|zone|°C|throttles|was not steady|limit"


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        begin: have it go wrong, until `end`; given a generator for what is left to chance.
        end: what its user, or time, does about it.
        cause: regular expression that the message of a command that failed of it has.
        slot: two faults of one slot cannot be told apart or undone one by one.
        passes: whether it may end by itself, after a while.
        first: whether it can be so before the command begins.
        of: the devices that have it.
    """

    name: str
    slot: str
    cause: str
    begin: Callable[[Rig, np.random.Generator], None]
    end: Callable[[Rig], None]
    passes: bool = True
    first: bool = True
    of: tuple[bool, ...] = (True, False)


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


def nothing(rig: Rig) -> None:
    del rig


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


def kills(rig: Rig, rng: np.random.Generator, *, word: str) -> None:
    del rng
    rig.kill(word)


def damage(rig: Rig, rng: np.random.Generator) -> None:
    """Change what lies on the device for the host to collect, or cut it off."""
    for path in rig.at("jobs").glob("*/results/*"):
        try:
            data = bytearray(path.read_bytes())
            data[int(rng.integers(len(data)))] ^= 1
            path.write_bytes(data[: int(rng.integers(1, 2 * len(data)))])
        except (OSError, ValueError):
            continue


def adb_killed(rig: Rig, rng: np.random.Generator) -> None:
    del rng
    subprocess.run([rig.device.client, "kill-server"], capture_output=True, check=False)


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


LINK = (
    Kind("cut in a push", "link", LOST + "|differs", cut_in_push, calm, of=(True, False)),
    Kind("cut in a run", "link", LOST, cut_in_run, calm),
    Kind("cut between calls", "link", LOST, cut, nothing),
    Kind("away for a moment", "link", LOST, partial(away, restart=False, longest_s=2.0), calm),
    Kind("unplugged", "link", LOST, gone, calm),
    Kind("restarted", "link", LOST + "|restart|ends every block|clocks",
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
DEVICE = (
    Kind("disk full", "disk", "disk.* is full", fill, lambda rig: rig.machine.free()),
    Kind("noexec", "disk", "No program starts|executable|ermission denied|cannot execute",
         noexec, exec_again),
    Kind("wrong ABI", "disk", "executable|xec format|cannot execute|syntax error|unexpected|ended",
         foreign, nothing, first=False),
    Kind("throttled", "state", HEAT, partial(facts, thermal_status=3), cool, of=(True,)),
    Kind("hot", "state", HEAT, partial(facts, cpu_mc=95_000), cool),
    Kind("clocks drop", "state", HEAT, fewer_clocks, all_clocks),
    Kind("battery low", "state", "battery holds", partial(facts, battery_percent=9),
         lambda rig: rig.machine.state.set(battery_percent=90), of=(True,)),
    Kind("battery saver", "state", "saves power|limit", saver, no_saver, of=(True,)),
    Kind("busy", "state", "load is", busy, idle),
    Kind("core off", "state", "cores? off|core|limit", cores_off, cores_on),
    Kind("no fixed clocks", "state", "free ones|clocks",
         partial(facts, fixed_performance_supported=0),
         lambda rig: rig.machine.state.set(fixed_performance_supported=1), of=(True,)),
    Kind("driver killed", "process", "ends every block|kills", partial(kills, word="/driver"),
         nothing, first=False),
    Kind("keeper killed", "process", "given it up", partial(kills, word="keeper"), nothing,
         first=False),
    Kind("all killed", "process", LOST + "|ends every block", partial(kills, word=""), nothing,
         first=False),
    Kind("results damaged", "process", "hash|damaged|differs", damage, nothing, first=False),
)  # fmt: skip
_SPOILT = r"cut off|is damaged|not the output|do not add up|printed nothing|and counts"
RUNNER = tuple(
    Kind(f"runner {name}", "runner", cause, partial(runner, line=line), mended)
    for name, cause, line in (
        ("cut off", _SPOILT, "say | head -c 70; exit 0"),
        ("silent", "printed nothing", "exit 0"),
        ("reorders", _SPOILT, "say | { read -r x; read -r y; echo \"$y\"; echo \"$x\"; cat; }; exit 0"),
        ("doubles", _SPOILT, "say"),
        ("prints garbage", _SPOILT, "printf 'x\\377\\001\\033[2J\\nend 5 7\\n'; exit 0"),
        ("changes digits", "do not add up", "say | sed 's/^\\(model_ns ..\\)./\\17/;s/^\\(model_ns 1\\)7/\\18/'; exit 0"),
        ("hung", "killed for its time", "sleep 60"),
        ("killed", "ended with 137", "kill -9 $$"),
        ("fails", "ended with 7", "echo out of memory >&2; exit 7"),
        ("floods", _SPOILT, "head -c 2000000 /dev/zero; exit 0"),
        ("drifts", "not steady", "say | sed 's/^\\(reference_ns .*\\) [0-9]*$/\\1 '$((other * 2))'/;"
         "s/^end .*/end 5 '$((a + b + value + 3 * other))'/'; exit 0"),
    )
)  # fmt: skip
HOST = tuple(
    Kind(name, "host", cause, begin, nothing, passes=False, first=False, of=of)
    for name, cause, begin, of in (
        ("killed", "", host_kinds.killed, (True, False)),
        ("terminated", "", host_kinds.terminated, (True, False)),
        ("interrupted", "interrupted", host_kinds.interrupted, (True, False)),
        ("asleep", "given it up|" + LOST, host_kinds.asleep, (True, False)),
        ("second host", "in use", host_kinds.second_host, (True, False)),
        ("second command", "", host_kinds.second_command, (True, False)),
    )
)
ALL = (*LINK, *DEVICE, *RUNNER, *HOST)
NEXT_STEP = (
    r"run the same command again|hwnat device (doctor|setup)|adb devices -l|delete files"
    r"|set another workdir|[Rr]estart it|ssh-copy-id|plug it in|let it cool|Check |Start sshd"
    r"|accept|Wait until|again|forget the old key|Connect once by hand|profile it anew"
)
