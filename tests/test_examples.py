"""The sample plug-in installs, passes its own tests and is found by the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENOME = "00011001100110011001100"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Install the sample plug-in into a folder; return (its sources, an environment with it)."""
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    shutil.copytree(ROOT / "examples" / "plugin", source)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--target", folder / "installed"]
    run([*pip, *offline, source])
    return source, os.environ | {"PYTHONPATH": str(folder / "installed")}


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_own_tests_pass(plugin):
    source, environment = plugin
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    out = run(tests, cwd=source, env=environment)
    assert " passed" in out
    assert "failed" not in out


@pytest.mark.slow
def test_the_command_line_uses_it(plugin, tmp_path):
    _, environment = plugin
    hwnat = [sys.executable, "-m", "hwnat.cli.main"]
    network = ["--space", "mbv3-micro", "--classes", "10", "--genome", GENOME]
    assert "1x16x16x3" in run([*hwnat, "arch", "show", *network, "--json"], env=environment)
    timings = tmp_path / "timings.csv"
    timings.write_text("operation,latency_us\nlinear|in=1x1x1x64|out=10|float32,3.25\n")
    table = tmp_path / "table.json"
    options = ["--format", "plain-csv", "--device", "board", "--out", table]
    run([*hwnat, "table", "import", *options, timings], env=environment)
    assert table.is_file()
