"""Runners and shells that say they failed: the cause, and what to do about it."""

import re
from typing import Final

from hwnat.errors import DeviceError

_SETUP: Final = (
    "install the build for this device: hwnat device setup DEVICE --benchmark-model PATH"
)
_DOCTOR: Final = "look at the device: hwnat device doctor DEVICE"
_SHELL: Final = r"(?:\S*sh(?:\[\d+\])?: )(?:line \d+: |\d+: )?"

#: Pattern of a line, cause, what to do. The first that matches is reported, so causes come before
#: the sentences that only say that something failed.
_FAILURES: Final = tuple(
    (re.compile(pattern), cause, remedy)
    for pattern, cause, remedy in (
        (r"CANNOT LINK EXECUTABLE", "the runner misses a library of the device", _SETUP),
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
            "the device does not let the runner start, or its folder forbids programs (noexec)",
            "give it another folder, under /data/local/tmp on Android: hwnat device doctor DEVICE",
        ),
        (r"No space left on device", "the device's storage is full", "free space, run again"),
        (
            rf"^(?:{_SHELL})?(?:\d+ )?Killed\b",
            "the system killed the runner, most often for want of memory",
            "close programs on the device or profile a smaller network, then run again",
        ),
        (
            rf"^(?:{_SHELL})?(?:\d+ )?(?:Terminated|Alarm clock)\b",
            "the runner was stopped, most often by its time limit",
            "raise the time limit, then run again",
        ),
        (
            r"Segmentation fault|Bus error|Illegal instruction|^Aborted\b|Fatal signal \d+",
            "the runner crashed",
            f"try it without its delegate, or {_SETUP}",
        ),
        (
            r"Disallowed CPU fallback detected|not fully accelerated but --require_full",
            "the delegate does not take every operator, and full delegation is required",
            "replace these operators, or profile this device on its CPU",
        ),
        (
            r"Failed to load model|Failed to load the model|Failed to construct interpreter",
            "the runner does not read the model",
            f"update the runner, which may be older than the model's operators: {_SETUP}",
        ),
        (r"^Traceback \(most recent call last\):$", "the runner raised an exception", _DOCTOR),
        (r"^\[ ERROR \]", "the runner reports an error", _DOCTOR),
        (r"(?:^|ERROR: (?:\[\S+\] )?)Run failed:", "an inference failed", _DOCTOR),
        (r"Benchmarking failed", "the runner gave up", _DOCTOR),
    )
)

_CODES: Final = {
    124: ("it ran into its time limit", "raise the time limit, then run again"),
    126: ("the device cannot execute the runner", _SETUP),
    127: ("the runner is not on the device", _SETUP),
    132: ("it used an instruction that this processor lacks", _SETUP),
    134: ("it aborted", _DOCTOR),
    137: (
        "the system killed it, most often for want of memory",
        "close programs on the device or profile a smaller network, then run again",
    ),
    139: ("it crashed", f"try it without its delegate, or {_SETUP}"),
    143: ("it was stopped", "run again"),
}


def refuse_failure(text: str, *, where: str) -> None:
    """Raise if a runner, or the shell that started it, says that it failed.

    Raises:
        DeviceError: with the cause, the line that states it, and what to do.
    """
    lines = text.split("\n")
    for pattern, cause, remedy in _FAILURES:
        for line in lines:
            if pattern.search(line):
                msg = f"{where}: {cause} ({line.strip()!r:.160}); {remedy}."
                raise DeviceError(msg)


def refuse_exit_code(code: int, *, where: str) -> None:
    """Raise if a runner ended with another exit code than 0.

    Raises:
        DeviceError: with what the code means, and what to do.
    """
    if code == 0:
        return
    cause, remedy = _CODES.get(code, ("it failed", _DOCTOR))
    msg = f"{where}: the runner ended with code {code}: {cause}; {remedy}."
    raise DeviceError(msg)
