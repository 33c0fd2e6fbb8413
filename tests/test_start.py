"""`hwnat --help` is quick because it loads nothing: counted in modules, as times vary."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "onnx", "onnxruntime", "openvino", "pymoo", "scipy", "sklearn", "rich", "numpy"}
ROOT = Path(__file__).parents[1]


def imported_by(*args):
    """Return the packages that a command line imports, told by the interpreter itself."""
    command = [sys.executable, "-X", "importtime", "-m", "hwnat.cli.main", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_the_check_sees_what_a_command_imports():
    assert "rich" in imported_by("device", "list")


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["serch"], ["search", "--help"], ["export", "--help"]]
)
def test_help_and_mistakes_load_no_heavy_package(args):
    assert not imported_by(*args) & HEAVY


def test_what_a_build_server_asks_loads_no_framework(a_table, tmp_path):
    path = tmp_path / "table.json"
    a_table().save(path)
    genome = ("--genome", "01011001100110011001100")
    for args in (
        ("table", "show", path),
        ("predict", "--table", path, *genome),
        ("arch", "show", "--space", "mbv3-nano", "--classes", "10", *genome),
    ):
        assert not imported_by(*args) & (HEAVY - {"numpy", "rich"})


def test_the_benchmark_of_the_start_runs():
    script = ROOT / "benchmarks" / "startup.py"
    done = subprocess.run(
        [sys.executable, script, "--starts", "1"], capture_output=True, text=True, check=True
    )
    assert " ms, " in done.stdout
    assert "times an empty interpreter" in done.stdout
