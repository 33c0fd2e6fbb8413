"""A network as files: what the report says of them, and that a wrong file leaves nothing behind."""

import copy

import numpy as np
import pytest
import torch

from hwnat.device.conditions import read_host
from hwnat.errors import DataError, TableMismatchError, UsageError
from hwnat.export.subnet import export_subnet, read_report
from hwnat.predict.additive import AdditivePredictor
from hwnat.records.arch import Arch
from hwnat.records.device import TimingProtocol
from hwnat.records.lock import file_lock
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
    """Name what a folder holds but for the files that keep locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


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
        assert (each.timing, each.untimed[:16]) == (None, "no latency table")
    assert read_report(tmp_path / "out" / "report.json") == report
    assert names(tmp_path) == ["out"]


def test_an_int8_target_is_fitted_to_inputs_of_the_network(
    network, images, a_table, a_setup, tmp_path
):
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
    # A table of INT8 models makes the file an INT8 file too.
    table = a_table(setup=a_setup(target="tflite", precision="int8"))
    with_table = {**options, "targets": ["tflite"], "tables": {"tflite": table}}
    (file,) = export_subnet(network, ARCH, calibration=drawn, **with_table).files
    assert 1e-4 < file.parity.relative <= 0.25
    assert file.size_bytes < 0.6 * report.files[0].size_bytes
    with pytest.raises(UsageError, match=r"tflite writes int8 .* pass calibration inputs"):
        export_subnet(network, ARCH, **with_table)


def test_files_are_written_untimed_if_their_table_is_of_another_machine(export, a_table, tmp_path):
    (file,) = export("onnx", tables={"onnx": a_table()}).files
    assert file.timing is None
    assert "was measured on a CPU, this is" in file.untimed
    assert "measure one here with: hwnat profile --device host-onnx" in file.untimed
    assert read_report(tmp_path / "out" / "report.json").files[0].untimed == file.untimed


def test_a_table_of_another_class_count_predicts_the_network(export, a_table, a_setup):
    setup = a_setup(runs=3, visit_ms=0.0, host=read_host(LocalTransport()))
    table = a_table(classes=37, setup=setup, protocol=TimingProtocol(rounds=2))
    (file,) = export("onnx", tables={"onnx": table}).files
    expected = AdditivePredictor(table, MBV3_NANO, classes=10).predict(ARCH.ops(classes=10))
    assert file.timing.predicted_ns == expected.latency_ns
    assert file.timing.predicted_ns != AdditivePredictor(table).latency_ns([ARCH.genome])[0]


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
    assert not [name for name in names(tmp_path) if name.startswith(".out")]
    assert read_report(tmp_path / "out" / "report.json") == before


def test_a_first_export_that_differs_leaves_no_folder(export, installed, tmp_path):
    (tmp_path / "liar.py").write_text(LIAR)
    installed("hwnat.targets", liar="liar:Liar")
    with pytest.raises(DataError):
        export("liar")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["out.part", "out.tmp", ".out"])
def test_folders_beside_that_are_not_ours_are_left_alone(export, tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "model.onnx").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    export("onnx")
    assert names(tmp_path / "out") == ["model.onnx", "report.json", "thesis.txt"]
    assert (tmp_path / name / "model.onnx").read_text() == "precious"
    assert names(tmp_path) == sorted([name, "out"])


def test_a_report_is_there_only_with_all_of_its_files(export, tmp_path):
    export("onnx")
    (tmp_path / "out" / "model.onnx").unlink()
    # A file cannot take the place of a folder, so the move of the model fails.
    (tmp_path / "out" / "model.onnx").mkdir()
    with pytest.raises(OSError, match=r"model\.onnx"):
        export("onnx")
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_second_export_into_a_folder_is_refused(export, tmp_path):
    with (
        file_lock(tmp_path / ".out.lock", what="the test"),
        pytest.raises(UsageError, match=r"Folder .*out is in use by process \d+"),
    ):
        export("onnx")
    assert not (tmp_path / "out").exists()
    export("onnx")


def test_a_network_whose_outputs_are_no_numbers_is_not_exported(network, images, tmp_path):
    broken = copy.deepcopy(network)
    with torch.no_grad():
        broken[-1].linear.bias[3] = float("nan")
    with pytest.raises(DataError, match="values of outputs are not numbers"):
        export_subnet(
            broken,
            ARCH,
            classes=10,
            images=images(4, 3, 24, 24),
            labels=np.zeros(4, np.int64),
            targets=("onnx",),
            folder=tmp_path / "out",
        )
    assert names(tmp_path) == []


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
