"""The prediction stage: predict a network's latency from a table."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.base import Prediction
from hwnat.predict.learned import fit_models
from hwnat.predict.operators import OperatorPredictor
from hwnat.records.arch import Arch
from hwnat.table.lookup import LatencyTable, load_table
from hwnat.targets.base import get_target
from hwnat.targets.fixed import fixed_copies
from hwnat.targets.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt


def predict(
    table: LatencyTable | Path | str,
    network: "Arch | str | Path | Sequence[int] | npt.NDArray[np.integer]",
    *,
    classes: int | None = None,
    partial: bool = False,
) -> Prediction:
    """Predict the latency of one network.

    Args:
        table: a latency table or its path.
        network: for a table of a space, an `Arch` or a genome as digits or integers; for a table
            of operators, the path of a model file.
        classes: outputs of the genome's classifier; None takes the table's.
        partial: leave out a model's operators that cannot be predicted, and list them in
            `Prediction.missing`.

    Raises:
        UncoveredOpError: the table lacks an operation of the genome.
        DataError: an operator of the model cannot be predicted and `partial` is false.
        TableMismatchError: the table is for other networks.
        UsageError: `network` is not a genome of the table's space.
    """
    loaded = table if isinstance(table, LatencyTable) else load_table(table)
    if loaded.space is None and isinstance(network, (str, Path)):
        return predict_model(Path(network), loaded, partial=partial)[0]
    predictor = AdditivePredictor(loaded, classes=classes)
    arch = Arch.of(predictor.space, network if not isinstance(network, Path) else str(network))
    return predict_arch(arch, predictor)


def predict_arch(arch: Arch, predictor: AdditivePredictor) -> Prediction:
    """Predict one network of a predictor's space.

    Raises:
        UncoveredOpError: the table lacks an operation.
    """
    batch = predictor.table.setup.batch
    return predictor.predict(arch.ops(classes=predictor.classes, batch=batch))


def predict_model(
    path: Path,
    table: LatencyTable,
    *,
    shapes: "Mapping[str, tuple[int, ...]] | None" = None,
    partial: bool = False,
) -> tuple[Prediction, Trace]:
    """Predict a model file from a table of operators; also return what its runtime executes.

    Args:
        path: the file.
        table: a table of operators.
        shapes: shapes of inputs to fix before, by name; see `fixed_copies`.
        partial: leave out operators that cannot be predicted.

    Raises:
        DataError: an operator cannot be predicted and `partial` is false.
        TableMismatchError: the table holds blocks of a space.
    """
    predictor = OperatorPredictor(table, fit=fit_models)
    target = get_target(table.setup.target)
    with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
        trace = target.trace(fixed_copies(target, [path], shapes or {}, Path(folder))[0])
    words = [str(path)]
    for name, shape in (shapes or {}).items():
        words += ["--shape", f"{name}={'x'.join(map(str, shape))}"]
    return predictor.predict(trace, partial=partial, model=words), trace
