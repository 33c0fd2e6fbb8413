"""Progress with a clock that the test moves: lines without a terminal, bars on one."""

import io

import pytest
from played.terminal import watch
from rich.console import Console
from rich.progress import Progress, TextColumn

from hwnat.cli.progress import Lines, Live, duration


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines(clock):
    written = []
    reporter = Lines(written.append, clock)
    reporter.written = written
    return reporter


def test_each_stage_begins_with_a_line(lines):
    for done in range(4):
        lines.report("export", done, 3)
    lines.report("measure", 1, 100)
    assert lines.written == ["export: 0 of 3", "measure: 1 of 100"]


def test_a_long_stage_gets_a_line_every_30_seconds_with_the_time_left(lines, clock):
    lines.report("measure", 0, 100)
    for done in range(1, 65):
        clock.now += 1
        lines.report("measure", done, 100)
    assert lines.written == [
        "measure: 0 of 100",
        "measure: 30 of 100, about 2 min left",
        "measure: 60 of 100, about 40 s left",
    ]


def test_the_pace_of_a_resumed_stage_counts_only_what_was_done_now(lines, clock):
    lines.report("measure", 900, 1000)
    for done in range(901, 932):
        clock.now += 1
        lines.report("measure", done, 1000)
    assert lines.written[-1] == "measure: 930 of 1000, about 2 min left"


def test_steps_of_a_stage_are_no_stages(lines, clock):
    for iteration in range(3):
        lines.report("search", iteration, 30)
        lines.report("search: adapt", 0, 0)
        for done in range(6):
            clock.now += 3
            lines.report("search: evaluate", done, 6)
    assert lines.written == ["search: 0 of 30", "search: 1 of 30, evaluate 3 of 6"]


def test_a_stage_named_like_a_step_of_nothing_is_a_stage(lines):
    lines.report("onnx: export", 1, 2)
    lines.report("onnx: measure", 1, 2)
    assert lines.written == ["onnx: export: 1 of 2", "onnx: measure: 1 of 2"]


@pytest.fixture
def live(clock):
    out = Console(file=io.StringIO(), force_terminal=True, width=80, no_color=True)
    progress = Progress(TextColumn("{task.description}"), console=out, auto_refresh=False)
    reporter = Live(progress, clock)
    reporter.progress = progress
    return reporter


def shown(live):
    return [(task.description.strip(), task.completed, task.total) for task in live.progress.tasks]


def test_only_what_goes_on_has_a_bar(live):
    for iteration in range(30):
        live.report("search", iteration, 30)
        live.report("search: adapt", 0, 0)
        assert shown(live) == [("search", iteration, 30), ("adapt", 0, None)]
        live.report("search: evaluate", 7, 40)
        assert shown(live) == [("search", iteration, 30), ("evaluate", 7, 40)]
    live.report("test", 40, 40)
    assert shown(live) == [("test", 40, 40)]


def test_a_message_is_printed_above_the_bars(live):
    with live.progress:
        live.report("measure", 1, 9)
        live.say("[device] waits")
        live.progress.refresh()
    printed = live.progress.console.file.getvalue()
    assert "[device] waits\n" in printed
    assert printed.rindex("measure") > printed.index("[device] waits")


NATIVE = """
import os, sys, time, warnings
from hwnat.cli.progress import reporter
with reporter() as live:
    for done in range(20):
        live.report("measure", done, 20)
        if done == 10:
            os.write(2, b"INFO: a native library\\n")
            print("a module", file=sys.stderr)
        time.sleep(0.01)
print("the end")
"""


def test_what_libraries_write_hits_no_bar(tmp_path):
    pytest.importorskip("pyte", reason="no pyte; pip install -e '.[dev]'")
    seen = watch((), cwd=tmp_path, code=NATIVE)
    assert seen.code == 0
    last = seen.screens[-1].splitlines()
    assert sorted(last[1:3]) == ["INFO: a native library", "a module"]
    assert last[3:] == ["the end"]
    bars = [line for screen in seen.screens for line in screen.splitlines() if "━" in line]
    assert bars
    assert all(line.startswith("measure ") for line in bars)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (59.2, "60 s"), (60, "1 min"), (61, "2 min"), (3600, "1 h 0 min")],
)
def test_durations_are_rounded_up(seconds, words):
    assert duration(seconds) == words
