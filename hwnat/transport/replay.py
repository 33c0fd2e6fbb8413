"""Records the calls of a real transport, and replays the answers without the device."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from hwnat.errors import DataError, DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.parse import read_text, record, strict_json
from hwnat.transport.base import Completed, Probe, Transport
from hwnat.transport.words import printable, shown

# Format history. Never edit an entry; add one.
#   1  a line {"schema": 1}, then one for each call, {"call", "answer"} or {"call", "error"}
SCHEMA: Final = 1
_ERRORS: Final = {cls.__name__: cls for cls in (DeviceError, TransientDeviceError)}
T = TypeVar("T")


def connect(spec: DeviceSpec) -> "ReplayTransport":
    """Return a transport that replays the transcript of `spec`.

    Raises:
        UsageError: `spec` has no transcript.
        DataError: the transcript is damaged.
    """
    if spec.transcript is None:
        msg = f"Device {spec.name}: set `transcript` to a file that a recording wrote."
        raise UsageError(msg)
    return ReplayTransport(Path(spec.transcript))


class RecordingTransport:
    """Passes every call to `link`, and appends the call and its answer to a file.

    An existing file is replaced. Each line is written before the call returns.

    Args:
        link: the transport whose calls are recorded.
        path: path of the transcript, a file of JSON lines.
    """

    def __init__(self, link: Transport, path: Path) -> None:
        self._link, self._path, self.address = link, path, link.address
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"schema": SCHEMA}) + "\n", encoding="utf-8")
        except OSError as problem:
            msg = f"Cannot write transcript {path}: {problem.strerror}; choose another path."
            raise UsageError(msg) from problem

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command; a `DeviceError` is recorded and raised again."""
        call = {"run": list(argv), "timeout_s": timeout_s}
        return self._note(call, lambda: self._link.run(argv, timeout_s=timeout_s), asdict)

    def push(self, source: Path, target: str) -> None:
        """Push a file; its hash is recorded, not its content."""
        call = {"push": target, "sha256": _sha256(source)}
        self._note(call, lambda: self._link.push(source, target), lambda _: None)

    def pull(self, source: str, target: Path) -> None:
        """Pull a file; its content is recorded."""
        self._note(
            {"pull": source},
            lambda: self._link.pull(source, target),
            lambda _: base64.b64encode(target.read_bytes()).decode(),
        )

    def probe(self) -> Probe:
        """Probe the device."""
        return self._note({"probe": True}, self._link.probe, asdict)

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def _note(self, call: dict[str, Any], make: Callable[[], T], dump: Callable[[T], object]) -> T:
        """Make a call and record it."""
        try:
            answer = make()
        except DeviceError as error:
            kind = next(c.__name__ for c in type(error).__mro__ if c.__name__ in _ERRORS)
            self._write({"call": call, "error": [kind, str(error)]})
            raise
        self._write({"call": call, "answer": dump(answer)})
        return answer

    def _write(self, line: dict[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class ReplayTransport:
    """Answers calls from a transcript in the order in which they were recorded.

    Args:
        path: path of a file that `RecordingTransport` wrote.

    Raises:
        DataError: the file is missing, truncated or not a transcript.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.address = path, f"replay {path}"
        self._lines = _load(path)
        self._next = 0

    @property
    def left(self) -> int:
        """Number of recorded calls that have not been replayed."""
        return len(self._lines) - self._next

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Return the recorded output of the command.

        Raises:
            DeviceError: the recorded call failed, or the next recorded call is another one.
        """
        answer = self._answer({"run": list(argv), "timeout_s": timeout_s})
        return record(Completed, answer, where=self._where())

    def push(self, source: Path, target: str) -> None:
        """Accept a file with the recorded content.

        Raises:
            DeviceError: the recorded call failed, or the next recorded call is another one.
        """
        self._answer({"push": target, "sha256": _sha256(source)})

    def pull(self, source: str, target: Path) -> None:
        """Write the file whose content was recorded.

        Raises:
            DeviceError: the recorded call failed, or the next recorded call is another one.
        """
        answer = self._answer({"pull": source})
        try:
            content = base64.b64decode(str(answer), validate=True)
        except ValueError as damage:
            msg = f"{self._where()}: holds no file ({damage}); record it again."
            raise DataError(msg) from damage
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def probe(self) -> Probe:
        """Return the recorded report.

        Raises:
            DeviceError: the recorded call failed, or the next recorded call is another one.
        """
        return record(Probe, self._answer({"probe": True}), where=self._where())

    def close(self) -> None:
        """Do nothing, because there are no background processes."""

    def _where(self) -> str:
        # The first line is the header, and `_next` already points to the following call.
        return f"{self._path} line {self._next + 1}"

    def _answer(self, call: dict[str, object]) -> object:
        """Return the recorded answer if `call` comes next, or raise the recorded error."""
        if not self.left:
            msg = f"{self._path} ends before the call {_shown(call)}; record it again."
            raise DeviceError(msg)
        line = self._lines[self._next]
        self._next += 1
        if line["call"] != call:
            msg = (
                f"{self._where()}: the recorded call is {_shown(line['call'])}, not "
                f"{_shown(call)}; record it again."
            )
            raise DeviceError(msg)
        if "error" in line:
            kind, message = line["error"]
            raise _ERRORS[kind](message)
        return line["answer"]


def _load(path: Path) -> list[dict[str, Any]]:
    """Read the calls of a transcript."""
    text = read_text(path, what="transcript")
    lines = [
        strict_json(line, where=f"{path} line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
    ]
    if not text.endswith("\n") or not lines or lines[0] != {"schema": SCHEMA}:
        msg = f"{path}: not a complete transcript of schema {SCHEMA}; record it again."
        raise DataError(msg)
    for number, line in enumerate(lines[1:], start=2):
        if not _is_call(line):
            msg = f"{path} line {number}: not a recorded call; record it again."
            raise DataError(msg)
    return lines[1:]


def _is_call(line: object) -> bool:
    if not isinstance(line, dict) or not isinstance(line.get("call"), dict):
        return False
    if set(line) == {"call", "error"}:
        error = line["error"]
        return (
            isinstance(error, list)
            and len(error) == 2
            and error[0] in _ERRORS
            and isinstance(error[1], str)
        )
    return set(line) == {"call", "answer"}


def _sha256(source: Path) -> str | None:
    """Return the hash of a file; None if it cannot be read, which the real push reports."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError:
        return None


def _shown(call: object) -> str:
    return shown([printable(json.dumps(call))])


_CHECK: tuple[type[Transport], ...] = (RecordingTransport, ReplayTransport)
