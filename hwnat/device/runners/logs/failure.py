"""Failures that a runner or its shell reports, each with its cause and remedy."""

import re
from typing import Final

from hwnat.errors import DeviceError

_SETUP: Final = (
    "Install the build for this device with: hwnat device setup DEVICE --benchmark-model PATH"
)
_DOCTOR: Final = "Check the device with: hwnat device doctor DEVICE"
_SHELL: Final = r"(?:\S*sh(?:\[\d+\])?: )(?:line \d+: |\d+: )?"

#: (pattern of a line, cause, remedy). The first match is reported, so lines that name a cause come
#: before lines that only report a failure.
_FAILURES: Final = tuple(
    (re.compile(pattern), cause, remedy)
    for pattern, cause, remedy in (
        (r"CANNOT LINK EXECUTABLE", "the device lacks a library that the runner needs", _SETUP),
        (
            r"not executable: |: not executable|Exec format error|cannot execute binary file",
            "the runner was built for another processor",
            _SETUP,
        ),
        (
            rf"^{_SHELL}.*: (?:inaccessible or )?not found$|: command not found$"
            rf"|^{_SHELL}.*: No such file or directory$",
            "the runner is not on the device",
            _SETUP,
        ),
        (
            rf"^{_SHELL}.*: [Pp]ermission denied$|: can't execute: Permission denied",
            "the device does not allow the runner to start, or its folder is mounted noexec",
            "Set `workdir` in the device file to another folder, under /data/local/tmp on Android",
        ),
        (
            r"No space left on device",
            "the device's storage is full",
            "Free up space on the device, then run the same command again",
        ),
        (
            rf"^(?:{_SHELL})?(?:\d+ )?Killed\b",
            "the system killed the runner, most often because memory ran out",
            "Close programs on the device or profile a smaller network, then run again",
        ),
        (
            rf"^(?:{_SHELL})?(?:\d+ )?(?:Terminated|Alarm clock)\b",
            "the runner was stopped, most often by its time limit",
            "Raise the time limit, then run again",
        ),
        (
            r"Segmentation fault|Bus error|Illegal instruction|^Aborted\b|Fatal signal \d+",
            "the runner crashed",
            "Try it without its delegate, or install another build with: "
            "hwnat device setup DEVICE --benchmark-model PATH",
        ),
        (
            r"Disallowed CPU fallback detected|not fully accelerated but --require_full",
            "the delegate does not take every operator of the model",
            "Replace these operators, or profile this device's CPU",
        ),
        (
            r"Failed to load model|Failed to load the model|Failed to construct interpreter",
            "the runner cannot read the model; the model may have operators newer than the runner",
            "Install a newer build with: hwnat device setup DEVICE --benchmark-model PATH",
        ),
        (r"^Traceback \(most recent call last\):$", "the runner raised an exception", _DOCTOR),
        (r"^\[ ERROR \]", "the runner reports an error", _DOCTOR),
        (r"(?:^|ERROR: (?:\[\S+\] )?)Run failed:", "an inference failed", _DOCTOR),
        (r"Benchmarking failed", "the runner gave up", _DOCTOR),
    )
)


def refuse_failure(text: str, *, where: str) -> None:
    """Raise if a runner or its shell reports a failure.

    Raises:
        DeviceError: it does; the message has the line, the cause and the remedy.
    """
    lines = text.split("\n")
    for pattern, cause, remedy in _FAILURES:
        for line in lines:
            if pattern.search(line):
                msg = f"{where}: {cause} ({line.strip()!r:.160}). {remedy}."
                raise DeviceError(msg)
