import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "predict_evaluate.py"


def run(*words):
    argv = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)


def test_a_missing_file_ends_with_one_line_and_its_exit_code():
    answer = run("--format", "ofa-yaml", "--tables", "none.yaml", "--test", "other.yaml")
    assert answer.returncode == 3
    assert answer.stderr.startswith("error: ")
    assert "none.yaml" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_an_option_that_a_format_needs_is_named():
    answer = run("--format", "nn-meter-blocks")
    assert answer.returncode == 2
    assert "--sources" in answer.stderr
