"""Progress of long work: a live display on a terminal, and occasional lines elsewhere."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from hwnat.cli.echo import echo
from hwnat.cli.output import console
from hwnat.records.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID
    from rich.text import Text

#: Seconds between two lines about the same stage if there is no terminal.
_EVERY_S: Final = 30.0
#: Steps that must be done before the time left is estimated.
_ENOUGH: Final = 3

#: Returns seconds, of which only differences count.
Clock = Callable[[], float]


class Reporter(Protocol):
    """Receives progress and messages from long work."""

    def report(self, stage: str, done: int, total: int) -> None:
        """Show how much of a stage is done.

        A stage named `search: adapting` is a step of the stage `search`, if that was reported
        before. A stage ends when another one is reported.
        """
        ...

    def say(self, words: str) -> None:
        """Print a message without damaging the display."""
        ...


@dataclass(slots=True)
class _Stage:
    """A stage in progress. A resumed stage starts with the work that was done before."""

    name: str
    started: float
    first: int
    done: int
    total: int

    def left_s(self, now: float) -> float | None:
        """Return the seconds left at the pace so far; None if it is too early to say."""
        made = self.done - self.first
        if made < _ENOUGH or now <= self.started or self.done >= self.total:
            return None
        return (now - self.started) / made * (self.total - self.done)


class _Stages:
    """The stage in progress, and its current step if it has steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stage: _Stage | None = None
        self.step: _Stage | None = None

    def update(self, name: str, done: int, total: int) -> bool:
        """Record a report; return whether it starts a new stage rather than a step of one."""
        top = self.stage
        if top and name.startswith(f"{top.name}: "):
            self.step = self._updated(self.step, name.removeprefix(f"{top.name}: "), done, total)
            return False
        self.stage, self.step = self._updated(top, name, done, total), None
        return self.stage is not top

    def _updated(self, stage: _Stage | None, name: str, done: int, total: int) -> _Stage:
        if stage is None or stage.name != name or done < stage.done:
            return _Stage(name=name, started=self.clock(), first=done, done=done, total=total)
        stage.done, stage.total = done, total
        return stage


class Lines:
    """Reports without a terminal: a line for each stage, and one every 30 seconds.

    Args:
        write: prints a line.
        clock: in seconds.
    """

    def __init__(self, write: Callable[[str], None], clock: Clock) -> None:
        self._write, self._clock = write, clock
        self._stages = _Stages(clock)
        self._written = clock()

    def report(self, stage: str, done: int, total: int) -> None:
        """Write a line if a stage begins, or if the last line is old."""
        began, now = self._stages.update(stage, done, total), self._clock()
        if began or now - self._written >= _EVERY_S:
            self._written = now
            self._write(self._line(now))

    def say(self, words: str) -> None:
        """Write a message."""
        self._write(words)

    def _line(self, now: float) -> str:
        stage, step = self._stages.stage, self._stages.step
        if stage is None:
            return ""
        line = f"{stage.name}: {stage.done} of {stage.total}"
        if step is not None:
            line += f", {step.name}" + (f" {step.done} of {step.total}" if step.total else "")
        left_s = stage.left_s(now)
        return line if left_s is None else f"{line}, about {duration(left_s)} left"


class Live:
    """Reports on a terminal: a bar for the stage in progress, and one for its step."""

    def __init__(
        self, progress: "Progress", clock: Clock, messages: Callable[[], str] = str
    ) -> None:
        self._progress, self._stages = progress, _Stages(clock)
        self._messages = messages
        self._tasks: dict[str, TaskID] = {}

    def report(self, stage: str, done: int, total: int) -> None:
        """Update the bars and remove those of stages that have ended."""
        self.say_messages()
        self._stages.update(stage, done, total)
        top, step = self._stages.stage, self._stages.step
        shown = {f"{top.name:<10}": top} if top else {}
        shown |= {f"  {step.name:<8}": step} if step else {}
        for name in [name for name in self._tasks if name not in shown]:
            self._progress.remove_task(self._tasks.pop(name))
        for name, state in shown.items():
            # Without a total the bar pulses.
            size = state.total or None
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=size, state=state)
            self._progress.update(
                self._tasks[name], completed=state.done, total=size, state=state, refresh=True
            )

    def say(self, words: str) -> None:
        """Print a message above the bars."""
        self.say_messages()
        self._progress.console.print(visible(words), markup=False, highlight=False, soft_wrap=True)

    def say_messages(self) -> None:
        """Print the output that arrived on stderr meanwhile."""
        for line in self._messages().splitlines():
            self._progress.console.print(
                visible(line), markup=False, highlight=False, soft_wrap=True
            )


@contextmanager
def _diverted() -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """Capture the output of native libraries on stderr, which would overwrite the bars.

    Yields:
        The terminal, and a function that returns what was written since it was last called.
    """
    sys.stderr.flush()
    stderr = sys.stderr.fileno()
    with tempfile.TemporaryFile() as kept, os.fdopen(os.dup(stderr), "w") as terminal:
        taken = 0

        def take() -> str:
            nonlocal taken
            written = os.pread(kept.fileno(), os.fstat(kept.fileno()).st_size - taken, taken)
            taken += len(written)
            return written.decode("utf-8", "replace")

        os.dup2(kept.fileno(), stderr)
        try:
            yield terminal, take
        finally:
            os.dup2(terminal.fileno(), stderr)


@contextmanager
def reporter(clock: Clock = monotonic) -> Iterator[Reporter]:
    """Yield a reporter for long work; its display is removed from the terminal at the end."""
    out = console(stderr=True)
    if not (out.is_terminal and sys.stderr.isatty()):
        yield Lines(lambda line: echo(line, err=True), clock)
        return
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    class Counts(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")

    class Left(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            state: Any = task.fields["state"]
            left_s = state.left_s(clock())
            return Text("" if left_s is None else f"{duration(left_s)} left")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), Counts(), Left())
    with _diverted() as (terminal, messages):
        out = console(file=terminal)
        with Progress(*columns, console=out, transient=True) as progress:
            live = Live(progress, clock, messages)
            try:
                yield live
            finally:
                live.say_messages()


def duration(seconds: float) -> str:
    """Write a duration for people.

    >>> duration(3.2), duration(200), duration(7300)
    ('4 s', '4 min', '2 h 2 min')
    """
    if seconds < 60:
        return f"{max(1, -int(-seconds // 1))} s"
    minutes = -int(-seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
