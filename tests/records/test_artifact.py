import hashlib

import pytest

from hwnat.errors import DataError
from hwnat.records.artifact import Artifact, describe, staged


def test_a_file_is_described_by_its_own_layout_and_its_plain_digest(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(b"abc")
    artifact = describe(path, target="tflite", layout="NHWC", nchw=(2, 3, 28, 20))
    assert artifact.input_shape == (2, 28, 20, 3)
    assert artifact.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert artifact.size_bytes == 3
    assert artifact == describe(path, target="tflite", layout="NHWC", nchw=(2, 3, 28, 20))
    assert hash(artifact)


def test_companions_count_in_digest_and_size(tmp_path):
    path, weights = tmp_path / "net.xml", tmp_path / "net.bin"
    path.write_bytes(b"ab")
    weights.write_bytes(b"cd")
    artifact = describe(
        path, target="openvino", layout="NCHW", nchw=(1, 3, 8, 8), companions=[weights]
    )
    assert artifact.input_shape == (1, 3, 8, 8)
    assert artifact.sha256 == hashlib.sha256(b"abcd").hexdigest()
    assert artifact.size_bytes == 4


def test_a_missing_or_empty_file_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(DataError, match="cannot be read"):
        describe(path, target="onnx", layout="NCHW", nchw=(1, 3, 8, 8))
    path.touch()
    with pytest.raises(DataError, match="no bytes"):
        describe(path, target="onnx", layout="NCHW", nchw=(1, 3, 8, 8))


@pytest.mark.parametrize(
    "wrong", [{"input_shape": (1, 0, 8, 8)}, {"layout": "CHWN"}, {"sha256": "ab"}]
)
def test_nonsense_is_refused(wrong, tmp_path):
    right = {
        "path": tmp_path / "net.onnx",
        "target": "onnx",
        "precision": "fp32",
        "input_shape": (1, 3, 8, 8),
        "layout": "NCHW",
        "sha256": "0" * 64,
        "size_bytes": 1,
    }
    Artifact(**right)
    with pytest.raises(DataError, match="not possible"):
        Artifact(**right | wrong)


def test_staged_files_appear_together(tmp_path):
    path = tmp_path / "new" / "net.xml"
    with staged(path) as draft:
        draft.write_text("graph")
        draft.with_suffix(".bin").write_text("weights")
        assert not path.exists()
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.bin", "net.xml"]
    assert path.read_text() == "graph"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_failure_while_staging_leaves_what_was_there(interruption, tmp_path):
    path = tmp_path / "net.xml"
    path.write_text("old")

    def interrupted():
        with staged(path) as draft:
            draft.write_text("half")
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert [file.name for file in tmp_path.iterdir()] == ["net.xml"]
    assert path.read_text() == "old"
