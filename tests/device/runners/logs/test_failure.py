"""Failures that runners and shells report."""

import pytest

from hwnat.device.runners.logs.benchmark_model import read_benchmark_model
from hwnat.errors import DeviceError

FAILURES = [
    ("ERROR: Benchmarking failed.", "gave up", "device doctor"),
    ("ERROR: Failed to load model /data/local/tmp/net.tflite", "cannot read the model", "newer"),
    ("ERROR: Disallowed CPU fallback detected.", "does not take every operator", "CPU"),
    ('CANNOT LINK EXECUTABLE "./benchmark_model": library "libc++_shared.so" not found',
     "lacks a library", "device setup"),
    ("/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file", "another processor",
     "device setup"),
    ("bash: ./benchmark_model: cannot execute binary file: Exec format error",
     "another processor", "device setup"),
    ("/system/bin/sh: ./benchmark_model: inaccessible or not found", "not on the device",
     "device setup"),
    ("sh: 1: ./benchmark_model: Permission denied", "noexec", "another folder"),
    ("Killed ", "memory ran out", "smaller network"),
    ("bash: line 1: 4242 Killed                  ./benchmark_model", "memory ran out", "smaller"),
    ("Terminated", "time limit", "Raise"),
    ("Segmentation fault", "crashed", "without its delegate"),
    ("write: No space left on device", "storage is full", "Free up space"),
    ("Traceback (most recent call last):", "exception", "device doctor"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "cause", "remedy"), FAILURES)
def test_a_failure_names_its_cause_and_the_next_step(line, cause, remedy, runtime_logs):
    """Even below results that look complete."""
    whole = (runtime_logs / "tf1.txt").read_text()
    for text in (f"{line}\n", f"STARTING!\n{line}\n", f"{whole}{line}\n"):
        with pytest.raises(DeviceError, match=cause) as raised:
            read_benchmark_model(text, where="pixel6")
        assert "pixel6" in str(raised.value)
        assert remedy in str(raised.value)


def test_the_cause_is_reported_before_the_sentence_that_follows_it():
    text = "STARTING!\nERROR: Benchmarking failed.\nERROR: Failed to load model x.tflite\n"
    with pytest.raises(DeviceError, match="cannot read the model"):
        read_benchmark_model(text, where="pixel6")
