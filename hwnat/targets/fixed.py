"""Copies of model files with fixed input shapes."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwnat.errors import UsageError
from hwnat.targets.base import Reshaping, Target
from hwnat.targets.inputs import shown


def fixed_copies(
    target: Target, files: Sequence[Path], shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> list[Path]:
    """Return files with fixed input shapes; without shapes, the files themselves.

    Equal files and shapes give the same copy, which is written once.

    Args:
        target: the target that runs the files.
        files: ONNX files, or files of the target.
        shapes: name of an input -> its shape, for each of the files; see `Reshaping.fixed`.
        folder: where the copies are written.

    Raises:
        UsageError: a file has no such input, or the target cannot fix shapes.
        DataError: a file is damaged or missing, or cannot take these shapes.
    """
    return [_copy(target, file, shapes, folder) for file in files] if shapes else list(files)


def _copy(target: Target, file: Path, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> Path:
    reshaping: object = target
    if file.suffix == ".onnx" != target.suffix:  # it is converted afterwards
        from hwnat.targets.onnx.target import OnnxTarget

        reshaping = OnnxTarget()
    if not isinstance(reshaping, Reshaping):
        msg = f"Target {target.name} cannot fix the shapes of {file}; export it for one shape."
        raise UsageError(msg)
    content = file.read_bytes() if file.is_file() else b""
    words = " ".join(f"{name}={shown(shape)}" for name, shape in sorted(shapes.items()))
    digest = hashlib.sha256(content + words.encode()).hexdigest()[:16]
    out = folder / digest / file.name  # data files keep their names, so each has its own folder
    if not out.exists():
        reshaping.fixed(file, shapes, out)
    return out
