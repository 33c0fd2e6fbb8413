"""The screens in docs/screens are what a terminal of 80 by 24 shows.

`HWNAT_RECORD=1` writes them again. Screens with timings are compared without their numbers.
A demo is recorded with more runs than it is compared with, so that its errors are small.
"""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from played.terminal import COLUMNS, ROWS, masked, watch

from hwnat.cli.demo import RUNTIMES
from hwnat.profile.models import ExportedModels
from hwnat.records.arch import Arch
from hwnat.records.space import get_space
from hwnat.targets.base import get_target

pytest.importorskip("pyte", reason="no pyte; pip install -e '.[dev]'")

ROOT = Path(__file__).parents[2]
RECORD = bool(os.environ.get("HWNAT_RECORD"))
SCREENS = ROOT / "docs" / "screens"
SHIPPED = ROOT / "latency_tables" / "host-onnx" / "onnx-fp32-mbv3-nano.json"
QUICK = (
    'transport = "local"\ntarget = "{}"\n[protocol]\nrounds = {}\nruns = {}\nwarmup = 0\n'
    "visit_ms = 0.0\n"
)
#: Runs `hwnat` with a search and a demo that take seconds; the commands and their screens are real.
SMALL = """
from functools import partial
import hwnat.profile.plan, hwnat.search.run
from hwnat.cli.main import main

plan, run = hwnat.profile.plan, hwnat.search.run
plan.make_plan = partial(plan.make_plan, resolutions=(24,), calibration=2)
run.SearchConfig.__init__.__kwdefaults__.update(models=4, population=12, generations=3)
run.DEMO_SCALE.update(resolutions=(24,), iterations=2, initial=8, archive=8, epochs=1)
run.DEMO_SCALE.update(models=4, generations=3, calibration=100)
main()
"""

#: Title of each screen on the page, in order.
TITLES = {
    "demo-running": "`hwnat demo`, while it runs",
    "demo": "`hwnat demo`",
    "bench": "`hwnat bench`",
    "device-list": "`hwnat device list`",
    "profile-running": "`hwnat profile`, while it runs",
    "profile": "`hwnat profile`",
    "search-running": "`hwnat search`, while it runs",
    "search": "`hwnat search`",
    "table-show": "`hwnat table show`",
    "table-diff": "`hwnat table diff`",
}
INTRODUCTION = """# Screens

What commands print on a terminal of 80 columns and 24 rows. A test records the screens, on small
tasks. Into a pipe, hwnat prints tables in full width, and progress as a line for each stage and one
every 30 seconds. For programs, add `--json` to any command.
"""


def page():
    """Return the page of all screens."""
    parts = [INTRODUCTION]
    for name, title in TITLES.items():
        parts.append(f"## {title}\n\n```text\n{(SCREENS / f'{name}.txt').read_text()}```\n")
    return "\n".join(parts)


def comparable(screen):
    """Return a masked screen without the processor, plurals and line breaks of a wide header."""
    lines = masked(screen)
    lines = re.sub(r"(Measured N blocks on ).*(, one thread)", r"\1N\2", lines)
    lines = re.sub(r"N networks?\b", "N networks", lines)
    return re.sub(r"\n\n[^$]*?pick file .*", "\n\npick file", lines)


def check(name, screen, *, mask):
    """Compare a screen with the recorded one, or record it."""
    path = SCREENS / f"{name}.txt"
    lines = screen.splitlines()
    assert len(lines) <= ROWS
    assert max(map(len, lines)) <= COLUMNS
    if RECORD:
        path.parent.mkdir(exist_ok=True)
        path.write_text(screen)
    recorded = path.read_text()
    if mask:
        assert comparable(screen) == comparable(recorded)
    else:
        assert screen == recorded


@pytest.fixture
def tables(a_table, an_entry, tmp_path):
    """Write a table of few entries, and one that was measured later."""
    table = a_table(created="2026-01-02T03:04:05+00:00", hwnat="0.2.0")
    keys = sorted(table.entries)[:6]
    few = replace(table, entries={key: an_entry(61_000 * 7**i) for i, key in enumerate(keys)})
    few.save(tmp_path / "before.json")
    slower = {key: an_entry(303_000_000) for key in keys[2:4]}
    setup = replace(few.setup, runtime_version="1.1")
    replace(few, entries={**few.entries, **slower}, setup=setup).save(tmp_path / "after.json")


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("device-list", ("device", "list")),
        ("table-show", ("table", "show", "before.json")),
        ("table-diff", ("table", "diff", "before.json", "after.json")),
    ],
)
@pytest.mark.usefixtures("tables")
def test_quick_commands(name, argv, tmp_path):
    seen = watch(argv, cwd=tmp_path)
    assert seen.code == 0
    check(name, seen.screens[-1], mask=False)


def while_it(seen, *words):
    """Return the last screen that shows all the words: progress, with a time left."""
    return [screen for screen in seen.screens if all(word in screen for word in words)][-1]


def settled(screen):
    """Return a screen without the advice about unreliable visits that a busy machine adds."""
    return re.sub(r"\n[^\n]* may be unreliable[^$]*?\n(?=\n|$)", "\n", screen)


@pytest.mark.slow
def test_a_bench(tmp_path):
    space = get_space("mbv3-nano")
    sizes = {"small": space.smallest(), "large": space.largest()}
    networks = {
        name: Arch(space=space, genome=genome).ops(classes=10) for name, genome in sizes.items()
    }
    models = ExportedModels(target=get_target("onnx"), folder=tmp_path / "models")
    models.export(networks, progress=lambda *_: None)
    for name in networks:
        shutil.copy(models.path(name), tmp_path / f"{name}.onnx")
    seen = watch(("bench", "small.onnx", "large.onnx"), cwd=tmp_path)
    assert seen.code == 0, seen.screens[-1]
    check("bench", settled(seen.screens[-1]), mask=True)


@pytest.mark.slow
def test_a_profile(tmp_path):
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices/quick.toml").write_text(QUICK.format("tflite", 1, 1))
    options = ("--space", "mbv3-nano", "--resolution", "24")
    networks = ("--calibration", "2", "--validation", "2")
    seen = watch(("profile", "--device", "quick", *options, *networks), cwd=tmp_path)
    assert seen.code == 0, seen.screens[-1]
    check("profile-running", while_it(seen, "measure", "left"), mask=True)
    # A busy machine adds advice about unreliable visits.
    screen = re.sub(r"\n[^\n]* may be unreliable.*", "\n", seen.screens[-1], flags=re.DOTALL)
    check("profile", screen, mask=True)


@pytest.mark.slow
def test_a_search(tmp_path):
    shutil.copy(SHIPPED, tmp_path / "cpu.json")
    objectives = ("--objective", "accuracy", "--objective", "latency@cpu.json")
    scale = ("--iterations", "2", "--initial", "8", "--archive", "8", "--epochs", "1")
    argv = ("search", "--data", "digits", *objectives, *scale, "--calibration", "100")
    seen = watch(argv, cwd=tmp_path, code=SMALL)
    assert seen.code == 0, seen.screens[-1]
    check("search-running", while_it(seen, "search", "evaluate", "left"), mask=True)
    check("search", seen.screens[-1], mask=True)


@pytest.mark.slow
def test_a_demo(tmp_path):
    (tmp_path / "devices").mkdir()
    for runtime in RUNTIMES:
        device = QUICK.format(runtime, *((6, 10) if RECORD else (1, 1)))
        (tmp_path / f"devices/host-{runtime}.toml").write_text(device)
    seen = watch(("demo",), cwd=tmp_path, code=SMALL)
    assert seen.code == 0, seen.screens[-1]
    check("demo-running", while_it(seen, "tflite: measure", "left"), mask=True)
    check("demo", seen.screens[-1], mask=True)


def test_the_page_shows_the_screens():
    path = ROOT / "docs" / "screens.md"
    if RECORD:
        path.write_text(page())
    assert path.read_text() == page()


def test_recorded_screens_fit_the_terminal():
    assert {path.stem for path in SCREENS.glob("*.txt")} == set(TITLES)
    for path in SCREENS.glob("*.txt"):
        lines = path.read_text().splitlines()
        assert len(lines) <= ROWS, path
        assert max(map(len, lines)) <= COLUMNS, path
