"""Write a trained network for several runtimes and compare each file with PyTorch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
import numpy.typing as npt

from hwnat import plugins
from hwnat.errors import TableMismatchError, UsageError
from hwnat.export.parity import Parity, compare
from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.base import Prediction
from hwnat.profile.estimate import estimate_file
from hwnat.profile.file import time_file
from hwnat.records.arch import Arch
from hwnat.records.device import Precision
from hwnat.records.lock import file_lock
from hwnat.records.parse import read_text, record, strict_json
from hwnat.records.write import write_text
from hwnat.supernet.finite import require_finite
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Estimator, Floats, Quantising, Target, get_target

if TYPE_CHECKING:
    from torch import nn

_TORCH_BATCH: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Predicted beside measured latency of a file, both on the scale of one table.

    Attributes:
        interval_ns: where nine networks in ten lie, by the table's calibration.
        runs: single runs behind the measured median.
    """

    table_id: str
    predicted_ns: float
    interval_ns: tuple[float, float] | None
    measured_ns: int
    runs: int

    @property
    def error(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted_ns / self.measured_ns - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """One exported file: its content, its difference from PyTorch, its accuracy and its latency.

    Attributes:
        file: its name, beside the report.
        top1_percent: top-1 accuracy of the file itself in its own runtime.
        timing: None if the file was not timed.
        untimed: why it was not timed; empty if it was.
    """

    target: str
    runtime: str
    runtime_version: str
    file: str
    sha256: str
    size_bytes: int
    details: Mapping[str, int | str]
    parity: Parity
    top1_percent: float
    timing: Timing | None
    untimed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """All files of one network.

    Attributes:
        top1_percent: top-1 accuracy of the PyTorch network on the same images.
        images: number of these images.
    """

    space: str
    genome: str
    classes: int
    params: int
    macs: int
    top1_percent: float
    images: int
    files: tuple[FileReport, ...]

    @property
    def text(self) -> str:
        """The report file's content."""
        return json.dumps(asdict(self), indent=1) + "\n"


def export_subnet(  # noqa: PLR0913 - one keyword for each thing that goes into a report
    module: "nn.Module",
    arch: Arch,
    *,
    classes: int,
    images: Floats,
    labels: npt.NDArray[np.int64],
    targets: Sequence[str],
    folder: Path,
    tables: Mapping[str, LatencyTable] | None = None,
    cache: Path = Path("runs/models"),
    calibration: Floats | None = None,
) -> ExportReport:
    """Write `arch` for every target into `folder`, with `report.json` beside the files.

    Args:
        module: the trained network, batch norms recalibrated.
        arch: what it is.
        classes: outputs of the classifier.
        images: (n, 3, r, r) float32 test inputs at the network's resolution.
        labels: (n,) their classes.
        targets: names of targets.
        folder: created if it does not exist; files of the same names are replaced.
        tables: target -> latency table. A file is timed on the scale of its table; without one,
            or if the table cannot be used from here, the report says why it was not timed. The
            table's precision is that of the file.
        cache: folder of exported models that holds the tables' reference models.
        calibration: (n, 3, r, r) float32 inputs that INT8 targets fit their scales to; not those
            that are compared.

    Raises:
        UsageError: no or unknown targets, an INT8 one without calibration inputs, or another
            process exports to `folder`.
        DataError: a file does not compute what PyTorch computes; `folder` stays as it was.
        TableMismatchError: a table was measured with another target or of another space.
    """
    import torch

    tables = tables or {}
    chosen = {name: _fitted(_target(name, tables.get(name)), calibration) for name in targets}
    if not chosen:
        msg = f"Nothing to export to; name some of {', '.join(plugins.names('hwnat.targets'))}."
        raise UsageError(msg)
    predictions = {
        name: _predict(arch, classes, chosen[name], table)
        for name, table in tables.items()
        if name in chosen
    }
    with torch.no_grad():
        parts = torch.from_numpy(images).split(_TORCH_BATCH)
        outputs = torch.cat([module(part) for part in parts])
    require_finite(
        {"outputs": outputs}, what=f"The network {arch.text}", remedy="Train its weights again."
    )
    wanted = outputs.numpy()
    files = []
    with _replacing(folder) as part:
        for name, target in chosen.items():
            path = part / f"model{target.suffix}"
            artifact = target.export(module, (1, *images.shape[1:]), path)
            session = target.load(path)
            outputs_of_file = np.concatenate([session.run(image[None]) for image in images])
            parity = compare(wanted, outputs_of_file)
            parity.require(folder / path.name, precision=target.precision)
            timing, untimed = _timing(path, target, tables.get(name), predictions.get(name), cache)
            files.append(
                FileReport(
                    target=artifact.target,
                    runtime=target.runtime()[0],
                    runtime_version=target.runtime()[1],
                    file=artifact.path.name,
                    sha256=artifact.sha256,
                    size_bytes=artifact.size_bytes,
                    details=artifact.details,
                    parity=parity,
                    top1_percent=_top1(outputs_of_file, labels),
                    timing=timing,
                    untimed=untimed,
                )
            )
        cost = arch.cost(classes=classes)
        report = ExportReport(
            space=arch.space.name,
            genome=arch.text,
            classes=classes,
            params=cost.params,
            macs=cost.macs,
            top1_percent=_top1(wanted, labels),
            images=len(images),
            files=tuple(files),
        )
        write_text(part / "report.json", report.text)
    return report


def _target(name: str, table: LatencyTable | None) -> Target:
    """Return a target that writes files of the precision of its table."""
    held = table.setup.precision if table and table.setup.target == name else None
    return get_target(name, precision=next((p for p in get_args(Precision) if p == held), None))


def _fitted(target: Target, calibration: Floats | None) -> Target:
    """Return a target whose INT8 scales, if it has any, suit the network's own inputs."""
    if target.precision == "fp32":
        return target
    if calibration is None or not isinstance(target, Quantising):
        msg = (
            f"Target {target.name} writes {target.precision} files, whose scales are fitted to "
            "inputs of the network: pass calibration inputs."
        )
        raise UsageError(msg)
    return target.quantised(calibration)


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder whose files move to `folder` once all of them are right.

    The folder has a fresh name beside `folder`, so nothing that lies there is touched.
    """
    whole = folder.resolve()
    if whole.exists() and not whole.is_dir():
        msg = f"Cannot write to {folder}: File exists and is not a folder; choose another path."
        raise UsageError(msg)
    whole.parent.mkdir(parents=True, exist_ok=True)
    lock = whole.with_name(f".{whole.name}.lock")
    with (
        file_lock(lock, what=f"Folder {folder}"),
        TemporaryDirectory(dir=whole.parent, prefix=f".{whole.name}.") as name,
    ):
        part = Path(name)
        yield part
        whole.mkdir(exist_ok=True)
        # The report goes first and comes last: with it the files are those that it describes.
        (whole / "report.json").unlink(missing_ok=True)
        for path in sorted(part.iterdir(), key=lambda file: file.name == "report.json"):
            path.replace(whole / path.name)


def read_report(path: Path) -> ExportReport:
    """Read a `report.json`.

    Raises:
        DataError: missing or damaged.
    """
    raw: Any = strict_json(read_text(path, what="export report"), where=str(path))
    return record(ExportReport, raw, where=str(path))


def _top1(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    return 100 * float(np.mean(logits.argmax(1) == labels))


def _predict(arch: Arch, classes: int, target: Target, table: LatencyTable) -> Prediction:
    if table.setup.target != target.name:
        msg = (
            f"Table {table.name} was measured with {table.setup.target}, not {target.name}; "
            f"measure one with: hwnat profile --device host-{target.name} --space {table.space}"
        )
        raise TableMismatchError(msg)
    predictor = AdditivePredictor(table, arch.space, classes=classes, precision=target.precision)
    return predictor.predict(arch.ops(classes=classes))


def _timing(
    path: Path,
    target: Target,
    table: LatencyTable | None,
    prediction: Prediction | None,
    cache: Path,
) -> tuple[Timing | None, str]:
    """Return the timing of a file, or None and the reason."""
    if table is None or prediction is None:
        return None, "no latency table of this target; name one with --table."
    try:
        measured = (
            estimate_file(path, table)
            if isinstance(target, Estimator)
            else time_file(path, table, cache=cache)
        )
    except (TableMismatchError, UsageError) as refused:
        return None, str(refused)
    timing = Timing(
        table_id=table.table_id,
        predicted_ns=prediction.latency_ns,
        interval_ns=prediction.interval_ns,
        measured_ns=measured.p50_ns,
        runs=measured.n,
    )
    return timing, ""
