"""One profile with things going wrong, command by command, until it is done."""

import re
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from faults import command
from faults.kind import Kind
from faults.kinds import ALL, NEXT_STEP
from faults.rig import PATIENCE_S, Rig
from faults.seeds import number_of

#: Kinds from one seed's first fault to the next one's, so that a few seeds have kinds of all slots.
STEP = 13
#: Each fault can end a few commands; that many of them are enough in any case.
COMMANDS = 10


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        after: so many starts of the runner; before the first command if it is 0.
        lasts_s: then it passes by itself; None if its user has to do something.
        begun: when, by the monotonic clock; None if it has not.
        seen: whether a command ended while it was so or after it, whose message may name it.
    """

    kind: Kind
    after: int
    lasts_s: float | None
    seed: int
    begun: float | None = None
    over: bool = False
    failed: int = 0

    @property
    def passed(self) -> bool:
        """Whether it is time that it ends by itself."""
        if self.begun is None or self.over or self.lasts_s is None:
            return False
        return time.monotonic() - self.begun > self.lasts_s

    def begin(self, rig: Rig) -> None:
        self.begun = time.monotonic()
        self.kind.begin(rig, np.random.default_rng(self.seed))

    def end(self, rig: Rig) -> None:
        self.over = True
        self.kind.end(rig)


def draw(seed: int, *, phone: bool) -> tuple[Fault, ...]:
    """Draw one to three faults that can befall such a device together.

    The first ones of successive seeds go through all kinds.
    """
    rng = np.random.default_rng(seed)
    kinds = [kind for kind in ALL if phone in kind.of]
    first = kinds[(STEP * number_of(seed)) % len(kinds)]
    beside = rng.choice(len(kinds), int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2])))
    found: dict[str, Fault] = {}
    for kind in (first, *(kinds[each] for each in beside)):
        passes = kind.passes and rng.random() < 0.6
        fault = Fault(
            kind=kind,
            after=int(rng.integers(0 if kind.first else 1, 6)),
            lasts_s=float(rng.uniform(0.2, 2.0)) if passes else None,
            seed=int(rng.integers(1 << 30)),
        )
        # A disk of its own size does not outlive a restart.
        clash = {"disk full", "restarted"} <= {kind.name, *(f.kind.name for f in found.values())}
        if not clash:
            found.setdefault(kind.slot, fault)
    return tuple(found.values())


@dataclass
class Run:
    """A profile that things befall.

    Attributes:
        messages: exit code and last line of every command that failed.
        problems: what the thread that lets things go wrong has failed of.
        log: how long each command took and what it said.
        lingering: threads of faults that take a while to be over.
        gate: the start at which the runner waits, if there is one.
    """

    rig: Rig
    faults: tuple[Fault, ...]
    messages: list[tuple[int, str]] = field(default_factory=list)
    problems: list[BaseException] = field(default_factory=list)
    commands: int = 0
    log: list[str] = field(default_factory=list)
    lingering: list[threading.Thread] = field(default_factory=list)
    gate: int | None = None

    def go(self) -> None:
        """Run the command until it is done; check all that has to be so, after each."""
        rows = {}
        while True:
            self.commands += 1
            assert self.commands <= COMMANDS, f"not done after {COMMANDS} commands"
            for each in self.faults:
                if each.begun is None and each.after == 0:
                    each.begin(self.rig)
            began = time.monotonic()
            ended = self._command()
            self.log.append(f"{time.monotonic() - began:.1f} s, exit {ended.status}:\n{ended.err}")
            rows = self.rig.check_kept(rows)
            assert "Traceback" not in ended.err, ended.err
            if ended.status == 0:
                break
            self._check_message(ended)
            self._mend()
        late = [fault.kind.name for fault in self.faults if fault.begun is None]
        assert not late, f"the profile is done, but these faults never began: {', '.join(late)}"
        self._mend()
        self._check_end(rows)

    def _mend(self) -> None:
        """Do what the messages ask for."""
        for each in self.faults:
            if each.begun is not None and not each.over:
                each.end(self.rig)

    def _check_end(self, rows: dict[str, dict]) -> None:
        self.rig.calm()
        self.rig.check_done(rows)
        causes = "|".join(each.kind.cause for each in self.faults if each.kind.cause)
        for other in self.rig.others:
            assert "Traceback" not in other.err, other.err
            assert other.status in (0, 4), other
            assert other.status == 0 or re.search(causes, other.err, re.IGNORECASE), other
        if rows := self.rig.rows("other"):
            self.rig.check_values(rows)
        cuts = {"link", "host", "process"}
        self.rig.check_device(cut=any(each.kind.slot in cuts for each in self.faults))

    def _command(self) -> command.Ended:
        """Run the command once, with whatever is due meanwhile."""
        ends = threading.Event()
        watching = threading.Thread(target=self._watch, args=(ends,), daemon=True)
        own = any(each.kind.slot == "host" and each.begun is None for each in self.faults)
        self.rig.running = self.rig.child() if own else None
        watching.start()
        try:
            if not own:
                return command.run(self.rig.words())
            out, err = self.rig.running.communicate(timeout=PATIENCE_S)
            return command.Ended(self.rig.running.returncode, out, err)
        finally:
            if own and self.rig.running.poll() is None:
                self.rig.running.kill()
                self.log.append(str(self.rig.running.communicate()))
            ends.set()
            watching.join(PATIENCE_S)
            for thread in self.lingering:
                thread.join(2 * PATIENCE_S)
            if self.problems:
                raise self.problems[0]

    def _watch(self, ends: threading.Event) -> None:
        try:
            while not ends.wait(0.02):
                self._set_gate()
                started = len(self.rig.started())
                for fault in self.faults:
                    if fault.begun is None and 0 < fault.after <= started:
                        self._begin(fault)
                    elif fault.passed:
                        fault.end(self.rig)
        except BaseException as problem:
            self.problems.append(problem)
            raise

    def _begin(self, fault: Fault) -> None:
        """Begin a fault whose turn it is, and let the runner go on."""
        if fault.kind.slot == "host" and not self.rig.listens():
            return
        if fault.kind.lingers:
            fault.begun = time.monotonic()
            thread = threading.Thread(target=self._linger, args=(fault,), daemon=True)
            self.lingering.append(thread)
            thread.start()
        else:
            fault.begin(self.rig)
        self._set_gate()

    def _linger(self, fault: Fault) -> None:
        try:
            fault.begin(self.rig)
        except BaseException as problem:
            self.problems.append(problem)
            raise

    def _set_gate(self) -> None:
        """Hold the runner at the start that brings on the next fault, until that has begun."""
        turns = [fault.after for fault in self.faults if fault.begun is None and fault.after]
        turn = min(turns, default=None)
        # Before it is installed there is nothing to hold; that is left to the command.
        if turn != self.gate and self.rig.at("tools/stub-run").exists():
            self.gate = turn if self.rig.hold(turn) else None

    def _check_message(self, ended: command.Ended) -> None:
        begun = [each.kind for each in self.faults if each.begun is not None]
        said = ended.err.strip().splitlines()[-1] if ended.err.strip() else ""
        self.messages.append((ended.status, said))
        names = [each.name for each in begun]
        if ended.status in (-9, -15):
            assert {"killed", "terminated"} & set(names)
            return
        assert begun, f"nothing was wrong, but: {ended}"
        if ended.status == 130:
            assert {"interrupted", "terminated"} & set(names)
            return
        assert ended.status in (2, 4), ended
        for each in self.faults:
            each.failed += each.begun is not None and not each.over
        assert any(re.search(each.cause, said, re.IGNORECASE) for each in begun), (names, said)
        assert re.search(NEXT_STEP, said), said
        where = (self.rig.device_name, *self.rig.addresses)
        assert any(word in said for word in where), said


def describe(faults: tuple[Fault, ...]) -> str:
    return ", ".join(
        f"{each.kind.name} after {each.after}"
        + (f" for {each.lasts_s:.1f} s" if each.lasts_s else "")
        for each in faults
    )
