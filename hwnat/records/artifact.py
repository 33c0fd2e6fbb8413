"""A model file ready to deploy, with the facts that are needed to run it."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from hwnat.errors import DataError

Layout = Literal["NCHW", "NHWC"]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An exported network on disk.

    Attributes:
        path: the file that a runtime loads.
        target: name of the target that wrote it.
        precision: arithmetic of the network, such as fp32.
        input_shape: shape of the input, batch first, with axes in the order of `layout`.
        layout: axis order of the input.
        sha256: digest of the bytes of `path`, followed by those of its companion files.
        size_bytes: total size of all the files.
        details: counts made by the exporter, such as operators and transposes.
    """

    path: Path
    target: str
    precision: str
    input_shape: Shape
    layout: Layout
    sha256: str
    size_bytes: int
    details: Mapping[str, int | str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        problems = [
            (len(self.input_shape) != 4 or min(self.input_shape) < 1, f"shape {self.input_shape}"),
            (self.layout not in get_args(Layout), f"layout {self.layout!r}"),
            (len(self.sha256) != 64, f"digest {self.sha256!r}"),
            (self.size_bytes < 1, "no bytes"),
        ]
        for wrong, what in problems:
            if wrong:
                msg = f"Artifact {self.path}: {what} is not possible; export it again."
                raise DataError(msg)


def describe(  # noqa: PLR0913 - the fields of the record
    path: Path,
    *,
    target: str,
    layout: Layout,
    nchw: Shape,
    precision: str = "fp32",
    companions: Sequence[Path] = (),
    details: Mapping[str, int | str] | None = None,
) -> Artifact:
    """Hash an exported file and add up its size.

    Args:
        path: the exported file.
        target: name of the target that wrote it.
        layout: axis order of the file's input.
        nchw: shape of the input as NCHW; the record holds it in `layout`.
        precision: arithmetic of the network.
        companions: further files that belong to `path`, such as weights.
        details: counts made by the exporter.

    Raises:
        DataError: a file is missing or empty.
    """
    digest, size = hashlib.sha256(), 0
    for part in (path, *companions):
        try:
            content = part.read_bytes()
        except OSError as error:
            msg = f"Artifact {part} cannot be read ({error.strerror}); export it again."
            raise DataError(msg) from error
        digest.update(content)
        size += len(content)
    batch, channels, height, width = nchw
    return Artifact(
        path=path,
        target=target,
        precision=precision,
        input_shape=nchw if layout == "NCHW" else (batch, height, width, channels),
        layout=layout,
        sha256=digest.hexdigest(),
        size_bytes=size,
        details=dict(details or {}),
    )


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder to write to.

    On success, every file in that folder is moved next to `path`. `path` itself is moved last, so
    it never exists without its companions. On failure, the temporary folder is removed and an
    existing file at `path` is left unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        for part in sorted(folder.iterdir(), key=lambda part: (part.name == path.name, part.name)):
            part.replace(path.parent / part.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
