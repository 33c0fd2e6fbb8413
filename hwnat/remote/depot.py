"""Model files on a device. They are named by a hash of their content and sent once."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Final

from hwnat.errors import DataError
from hwnat.transport.base import Completed, Probe, Transport
from hwnat.transport.shell import script

#: Number of files that one command hashes on the device; old versions of adb limit its length.
_AT_ONCE: Final = 30
#: Files up to this size are sent together.
_SMALL_BYTES: Final = 1 << 20
_CUT_S: Final = 300.0
_LINE: Final = re.compile(r"\\?([0-9a-f]{32,64})  ?(.+)", re.ASCII)
#: Suffix of a model file -> suffix of the second file that it needs beside it.
_COMPANIONS: Final = {".xml": ".bin"}


class Depot:
    """The folder `models` on a device.

    Args:
        link: link to the device.
        probe: working folder of the device, and the hash that the device computes.
    """

    def __init__(self, link: Transport, probe: Probe) -> None:
        self._link, self._hash = link, probe.hash
        self._folder = f"{probe.workdir.rstrip('/')}/models"
        self._digests: dict[Path, str] = {}
        self._placed: set[str] = set()

    def digest(self, model: Path) -> str:
        """Return a hash of the files of a model: 40 hexadecimal digits.

        Raises:
            DataError: a file cannot be read.
        """
        if model not in self._digests:
            content = hashlib.sha256()
            for path in _files(model):
                try:
                    content.update(path.read_bytes())
                except OSError as problem:
                    msg = f"Cannot read model {path}: {problem.strerror}; export it again."
                    raise DataError(msg) from problem
            self._digests[model] = content.hexdigest()[:40]
        return self._digests[model]

    def path(self, model: Path) -> str:
        """Return the path of a model on the device."""
        return f"{self._folder}/{self.digest(model)}{model.suffix}"

    def forget(self) -> None:
        """Check all files again at the next `place`, because a restart may have lost some."""
        self._placed.clear()

    def place(self, models: Iterable[Path], *, between: Callable[[], None] = lambda: None) -> None:
        """Send the models that are missing or damaged on the device.

        Args:
            models: model files; the second file of a model is sent along with it.
            between: called before each large file is sent, because sending may take long.

        Raises:
            DeviceError: a file cannot be sent.
        """
        wanted = {}
        for model in models:
            for path in _files(model):
                wanted[f"{self._folder}/{self.digest(model)}{path.suffix}"] = path
        unknown = {name: path for name, path in wanted.items() if name not in self._placed}
        missing = {name: unknown[name] for name in unknown.keys() - self._there(unknown)}
        small = {n: p for n, p in missing.items() if p.stat().st_size <= _SMALL_BYTES}
        if len(small) > 1 and self._hash is not None:
            for name in self._send_together(small):
                del missing[name]
        for name, path in missing.items():
            between()
            self._link.push(path, name)
        self._placed |= unknown.keys()

    def _send_together(self, files: Mapping[str, Path]) -> set[str]:
        """Send small files in bundles, which the device cuts; return the files that arrived.

        A push takes three calls, which take longer than sending a small file.
        """
        names, right = list(files), set()
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            bundle = f"{self._folder}/.hwnat-{token_hex(8)}.part"
            with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
                here = Path(folder) / "bundle"
                here.write_bytes(b"".join(files[name].read_bytes() for name in some))
                self._link.push(here, bundle)
            words = [word for name in some for word in (name, str(files[name].stat().st_size))]
            cut = script("remote/cut", *words, whole=bundle, hash=f"{self._hash}sum")
            right |= self._right(self._link.run(cut, timeout_s=_CUT_S), files)
        return right

    def _there(self, wanted: Mapping[str, Path]) -> set[str]:
        """Return the names of the files that the device holds with the right content."""
        names, right = list(wanted), set()
        for start in range(0, 0 if self._hash is None else len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            # If a file is missing, the program fails and prints no line for it.
            done = self._link.run([f"{self._hash}sum", *some], timeout_s=600)
            right |= self._right(done, wanted)
        return right

    def _right(self, done: Completed, wanted: Mapping[str, Path]) -> set[str]:
        """Return the names that the device printed together with the right hash."""
        lines = map(_LINE.fullmatch, done.stdout.splitlines())
        pairs = [(line[2], line[1]) for line in lines if line is not None]
        return {name for name, has in pairs if name in wanted and self._same(wanted[name], has)}

    def _same(self, path: Path, digest: str) -> bool:
        kind = self._hash or "sha256"
        return hashlib.new(kind, path.read_bytes(), usedforsecurity=False).hexdigest() == digest


def _files(model: Path) -> tuple[Path, ...]:
    """Return the files of a model; `model` itself comes first."""
    beside = _COMPANIONS.get(model.suffix)
    return (model,) if beside is None else (model, model.with_suffix(beside))
