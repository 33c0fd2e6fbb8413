"""A network as files: what the report says of them, and that a wrong file leaves nothing behind."""

import numpy as np
import pytest
import torch

from hwnat.device.conditions import read_host
from hwnat.errors import DataError, TableMismatchError, UsageError
from hwnat.export.subnet import export_subnet, read_report
from hwnat.records.arch import Arch
from hwnat.records.device import TimingProtocol
from hwnat.records.space import MBV3_NANO, MBV3_W10
from hwnat.supernet.accuracy import recalibrate
from hwnat.supernet.network import Supernet
from hwnat.transport.local import LocalTransport

ARCH = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
LIAR = """
from copy import deepcopy
import torch
from hwnat.targets.onnx.target import OnnxTarget

class Liar(OnnxTarget):
    def export(self, module, input_shape, path):
        other = deepcopy(module)
        with torch.no_grad():
            next(other.parameters()).mul_(1.1)
        return super().export(other, input_shape, path)
"""


@pytest.fixture(scope="module")
def network():
    """Return an untrained network of ten classes whose batch norms know the images."""
    module = Supernet.fresh(MBV3_NANO, classes=10, seed=0).extract(ARCH)
    images = torch.randn(64, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    recalibrate(module, [images])
    return module


@pytest.fixture
def export(network, images, tmp_path):
    """Export into a folder; labels are PyTorch's answers but for one in four."""
    x = images(20, 3, 24, 24)
    with torch.no_grad():
        labels = network(torch.from_numpy(x)).argmax(1).numpy()
    labels[::4] = (labels[::4] + 1) % 10

    def run(*targets, **options):
        return export_subnet(
            network,
            ARCH,
            classes=10,
            images=x,
            labels=labels,
            targets=targets,
            folder=tmp_path / "out",
            cache=tmp_path / "models",
            **options,
        )

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_target_is_compared_and_scored_through_its_own_runtime(export, tmp_path):
    report = export("onnx", "tflite", "openvino")
    assert report.top1_percent == 75
    assert report.images == 20
    assert (report.params, report.macs) == (ARCH.cost(classes=10).params, 1_086_472)
    assert [each.target for each in report.files] == ["onnx", "tflite", "openvino"]
    for each in report.files:
        path = tmp_path / "out" / each.file
        assert each.top1_percent == report.top1_percent
        assert each.parity.rows == 20
        assert each.parity.top1_agreement == 1
        assert 0 <= each.parity.relative <= 1e-4
        assert each.size_bytes >= path.stat().st_size > 0
        assert each.runtime_version[0].isdecimal()
        assert each.timing is None
    assert read_report(tmp_path / "out" / "report.json") == report
    assert names(tmp_path) == ["out"]


def test_an_int8_target_is_fitted_to_inputs_of_the_network(network, images, tmp_path):
    drawn = images(400, 3, 24, 24)
    with torch.no_grad():
        logits = network(torch.from_numpy(drawn)).numpy()
    ranked = np.sort(logits, axis=1)
    # Nobody trained this network to be sure, but of some images it is.
    clear = np.argsort(ranked[:, -2] - ranked[:, -1])[:20]
    options = {
        "classes": 10,
        "images": drawn[clear],
        "labels": logits[clear].argmax(1),
        "folder": tmp_path / "out",
    }
    with pytest.raises(UsageError, match=r"ethosu writes int8 .* pass calibration inputs"):
        export_subnet(network, ARCH, targets=["ethosu"], **options)
    report = export_subnet(
        network, ARCH, targets=["tflite", "ethosu"], calibration=drawn, **options
    )
    assert names(tmp_path / "out") == ["model.ethosu.tflite", "model.tflite", "report.json"]
    exact, rounded = (each.parity for each in report.files)
    assert exact.relative <= 1e-4 < rounded.relative <= 0.25
    assert rounded.top1_agreement >= 0.95


def test_a_table_of_another_machine_times_nothing(export, a_table, tmp_path):
    with pytest.raises(TableMismatchError, match="was measured on a CPU, this is"):
        export("onnx", tables={"onnx": a_table()})
    assert not list(tmp_path.rglob("report.json"))


def test_a_table_puts_predicted_beside_measured(export, a_table, a_setup):
    setup = a_setup(runs=3, visit_ms=0.0, host=read_host(LocalTransport()))
    table = a_table(setup=setup, protocol=TimingProtocol(rounds=2))
    (file,) = export("onnx", tables={"onnx": table}).files
    assert file.timing.table_id == table.table_id
    assert file.timing.measured_ns > 0
    assert file.timing.runs >= 6
    expected = 0.9 * (5_000 + sum(table.lookup(op.key).p50_ns for op in ARCH.ops(classes=10)))
    assert file.timing.predicted_ns == pytest.approx(expected)
    assert file.timing.error == pytest.approx(expected / file.timing.measured_ns - 1)


def test_a_file_that_differs_leaves_the_folder_as_it_was(export, installed, tmp_path):
    (tmp_path / "liar.py").write_text(LIAR)
    installed("hwnat.targets", liar="liar:Liar")
    before = export("onnx")
    content = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(DataError, match=r"out/model\.onnx differs from PyTorch by .* do not ship"):
        export("onnx", "liar")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == content
    assert not (tmp_path / "out.part").exists()
    assert read_report(tmp_path / "out" / "report.json") == before


def test_a_first_export_that_differs_leaves_no_folder(export, installed, tmp_path):
    (tmp_path / "liar.py").write_text(LIAR)
    installed("hwnat.targets", liar="liar:Liar")
    with pytest.raises(DataError):
        export("liar")
    assert not (tmp_path / "out").exists()


def test_what_a_killed_export_left_is_in_nobodys_way(export, tmp_path):
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "model.tflite").write_text("half")
    export("onnx")
    assert names(tmp_path / "out") == ["model.onnx", "report.json"]
    assert names(tmp_path) == ["out"]


def test_tables_of_something_else_are_refused_before_a_file_is_written(export, a_table, tmp_path):
    with pytest.raises(TableMismatchError, match="was measured with onnx, not tflite"):
        export("onnx", "tflite", tables={"tflite": a_table()})
    with pytest.raises(TableMismatchError, match=r"mbv3-w1\.0"):
        export("onnx", tables={"onnx": a_table(MBV3_W10, (192,))})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("targets", "words"), [((), "Nothing to export to"), (("onnx", "onyx"), "Did you mean onnx")]
)
def test_no_or_unknown_targets_write_nothing(export, tmp_path, targets, words):
    with pytest.raises(UsageError, match=words):
        export(*targets)
    assert names(tmp_path) == []


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_report_is_refused(export, tmp_path, share):
    export("onnx")
    path = tmp_path / "out" / "report.json"
    path.write_text(path.read_text()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"report\.json"):
        read_report(path)


def test_accuracy_is_of_the_labels_given(network, images, tmp_path):
    x = images(5, 3, 24, 24)
    with torch.no_grad():
        answers = network(torch.from_numpy(x)).argmax(1).numpy()
    report = export_subnet(
        network,
        ARCH,
        classes=10,
        images=x,
        labels=np.where(np.arange(5) < 2, answers, (answers + 1) % 10),
        targets=("onnx",),
        folder=tmp_path,
    )
    assert report.files[0].top1_percent == report.top1_percent == 40
