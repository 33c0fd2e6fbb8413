"""The last line of a run says what would bring the skipped tests."""

import os
import subprocess
import sys
from pathlib import Path

import skips

REASONS = (
    "Skipped: no published measurements at /x; HWNAT_SHARED_DATA names another place",
    "Skipped: no C compiler on this machine; apt-get install gcc brings one",
    "Skipped: no ssh on this machine; .ci/run says how it is installed",
    "Skipped: no Vela; pip install 'hwnat[ethosu]'",
    "Skipped: no NVIDIA GPU: no driver",
)


def test_the_last_line_counts_the_skipped_tests_by_what_brings_them():
    assert skips.last_line(REASONS) == (
        "5 skipped. To run them, 2: run .ci/run as root on Debian; 1: set HWNAT_SHARED_DATA to a "
        "folder of published measurements; 1: run make install; "
        "1: use a machine with another accelerator."
    )


def test_nothing_is_said_where_nothing_was_skipped():
    assert skips.last_line([]) == ""


def test_a_run_ends_with_that_line(tmp_path):
    tests = Path(__file__).with_name("records") / "test_cost.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "recorded"]
    without = os.environ | {"HWNAT_SHARED_DATA": str(tmp_path / "nothing")}
    done = subprocess.run(
        [*command, tests], capture_output=True, text=True, check=False, env=without
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == (
        "1 skipped. To run them, 1: set HWNAT_SHARED_DATA to a folder of published measurements."
    )
