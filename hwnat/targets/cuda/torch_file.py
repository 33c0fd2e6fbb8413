"""Files of `torch.export` (.pt2), written and read without pickle.

PyTorch's own reader unpickles data from a file and evaluates its shape expressions, so a file could
run code. This reader takes the file apart and accepts only raw tensors and a graph with fixed
shapes and known operators. It rebuilds the archive from those in memory and gives it to PyTorch.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hwnat.errors import UsageError
from hwnat.records.artifact import Shape
from hwnat.targets.cuda.torch_graph import is_known, items, why_refused
from hwnat.targets.limits import reading

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

#: Names of parts, below the archive's own folder, that are copied unchanged.
_RAW: Final = re.compile(r"data/(?:weights/weight|constants/tensor)_[0-9]{1,6}")
_TENSOR: Final = re.compile(r"(?:weight|tensor)_[0-9]{1,6}")
_GRAPH: Final = "models/model.json"
_JSON: Final = (
    _GRAPH,
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
#: Parts that are not read: metadata, and a pickle of example inputs.
_ENVELOPE: Final = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
    r"|data/sample_inputs/model\.pt"
)
#: Metadata of a node about its source code; it contains paths of the exporting machine.
_ORIGINS: Final = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node")
#: Number of a tensor type in a file -> bytes of one element.
_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1}


def write_program(module: "nn.Module", shape: Shape, path: Path) -> dict[str, int]:
    """Write a module in evaluation mode for one fixed NCHW shape; return operator counts.

    Raises:
        UsageError: the module cannot be exported.
    """
    import torch

    try:
        program = torch.export.export(module, (torch.zeros(shape),), strict=False)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"No .pt2 file {path.name} for input {shape}: {reason}"
        raise UsageError(msg) from error
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    strange = sorted({str(node.target) for node in nodes if not is_known(node.target)})
    if strange:
        msg = (
            f"No .pt2 file {path.name}: its reader does not accept {', '.join(strange)}; "
            "use a module without it, or the target onnx-cuda."
        )
        raise UsageError(msg)
    for node in program.graph.nodes:
        for key in _ORIGINS:
            node.meta.pop(key, None)
    # PyTorch would store example inputs as a pickle.
    program.example_inputs = None
    # Saved in memory, because PyTorch names the archive's folder after the file.
    held = io.BytesIO()
    torch.export.save(program, held)
    path.write_bytes(held.getvalue())
    kinds = [str(node.target) for node in nodes]
    moved = sum(".permute." in kind or ".transpose." in kind for kind in kinds)
    return {"operators": len(nodes), "transposes": moved}


def read_program(path: Path) -> "ExportedProgram":
    """Load a file.

    Raises:
        DataError: the file is damaged, or contains anything besides raw tensors and a graph with
            fixed shapes and known operators.
    """
    import torch

    with reading(path, "PyTorch"), _quiet():
        parts = _parts(path)
        rebuilt = _rebuilt(parts)
        for kind in ("weights", "constants"):
            _check_sizes(parts, kind)
        return torch.export.load(rebuilt)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch from logging a stack trace of an exception that it raises."""
    import logging

    log = logging.getLogger("torch.export")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def _parts(path: Path) -> dict[str, bytes]:
    """Return the content of each part of an archive by its name below the archive's folder.

    Raises:
        ValueError: the archive has an unknown part or lacks one.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # PyTorch does not compress, so the parts cannot be larger than the file.
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            msg = "it unpacks to more bytes than the file has"
            raise ValueError(msg)
        parts = {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}
    for name in parts:
        if not (_RAW.fullmatch(name) or name in _JSON or _ENVELOPE.fullmatch(name)):
            msg = f"it holds {name!r:.80}, which is neither tensor nor graph"
            raise ValueError(msg)
    for name in _JSON:
        if name not in parts:
            msg = f"it has no {name}"
            raise ValueError(msg)
    return parts


def _check_sizes(parts: dict[str, bytes], kind: str) -> None:
    """Refuse tensors whose size differs from their description; PyTorch does not check that."""
    config = json.loads(parts[f"data/{kind}/model_{kind}_config.json"])["config"]
    for name, entry in config.items():
        meta = entry["tensor_meta"]
        if meta is None:
            continue
        needed = math.prod(size["as_int"] for size in meta["sizes"]) * _BYTES[meta["dtype"]]
        held = len(parts[f"data/{kind}/{entry['path_name']}"])
        if held != needed:
            msg = f"tensor {name!r:.80} has {held} bytes, not {needed}"
            raise ValueError(msg)


def _rebuilt(parts: dict[str, bytes]) -> io.BytesIO:
    """Return an archive of the parts that cannot contain code."""
    import torch

    nothing, held = io.BytesIO(), io.BytesIO()
    torch.save(((), {}), nothing)
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in parts.items():
            if _RAW.fullmatch(name):
                archive.writestr(f"archive/{name}", content)
            elif name in _JSON:
                archive.writestr(f"archive/{name}", _harmless(content, name))
        archive.writestr("archive/data/sample_inputs/model.pt", nothing.getvalue())
        for name, text in (("archive_format", "pt2"), ("archive_version", "0")):
            archive.writestr(f"archive/{name}", text)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/.data/version", "6\n")
    held.seek(0)
    return held


def _harmless(content: bytes, name: str) -> str:
    """Return a JSON part.

    Raises:
        ValueError: PyTorch would evaluate or unpickle some of it.
    """
    value = json.loads(content)
    reason = why_refused(value) if name == _GRAPH else None
    for key, item in items(value):
        if key == "use_pickle" and item is not False:
            reason = "has a tensor as a pickle, which may run anything"
        elif key == "expr_str":
            reason = "has a shape that is not fixed, but an expression"
        elif key == "path_name" and not _TENSOR.fullmatch(str(item)):
            reason = f"has {item!r:.80} for a tensor"
    if reason is not None:
        msg = f"{name} {reason}"
        raise ValueError(msg)
    return json.dumps(value)
