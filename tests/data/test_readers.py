import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from hwnat.data.readers import load_dataset
from hwnat.errors import DataError, UsageError


def write_idx(folder, prefix, count, *, size=9, cut=0, suffix=""):
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
    labels = (np.arange(count) % 3).astype(np.uint8)
    files = {
        f"{prefix}-images-idx3-ubyte": struct.pack(">HBBIII", 0, 8, 3, count, size, size)
        + pixels.tobytes(),
        f"{prefix}-labels-idx1-ubyte": struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes(),
    }
    for name, content in files.items():
        content = content[: len(content) - cut]
        content = gzip.compress(content) if suffix else content
        (folder / (name + suffix)).write_bytes(content)
    return pixels


def write_folders(root, count, names=("cat", "dog")):
    for name in names:
        (root / name).mkdir(parents=True)
        for index in range(count):
            grey = index if name == names[0] else 255 - index
            Image.new("RGB", (8 + index % 2, 8), (grey, 0, 0)).save(root / name / f"{index}.png")


def test_digits_split_into_three_disjoint_parts_with_all_classes():
    data = load_dataset("digits")
    parts = (data.train, data.validation, data.test)
    assert sum(map(len, parts)) == 1797
    assert data.classes == 10
    assert all(len(np.unique(part.labels)) == 10 for part in parts)
    assert [len(part) for part in parts] == [999, 399, 399]


def test_a_split_follows_its_seed_and_nothing_else():
    one, same, other = (load_dataset("digits", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.test.pixels, same.test.pixels)
    assert not np.array_equal(one.test.pixels, other.test.pixels)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_folder_is_read_with_its_own_test_part(tmp_path, suffix):
    write_idx(tmp_path, "train", 60, suffix=suffix)
    pixels = write_idx(tmp_path, "t10k", 12, suffix=suffix)
    data = load_dataset(str(tmp_path))
    assert np.array_equal(data.test.pixels[:, 0], pixels)
    assert len(data.train) + len(data.validation) == 60
    assert data.classes == 3


def test_a_truncated_idx_file_is_named(tmp_path):
    write_idx(tmp_path, "train", 60, cut=5)
    write_idx(tmp_path, "t10k", 12)
    with pytest.raises(DataError, match="train-images-idx3-ubyte is not a whole IDX file"):
        load_dataset(str(tmp_path))


def test_an_image_folder_is_read_by_class_names(tmp_path):
    write_folders(tmp_path, 12)
    data = load_dataset(str(tmp_path))
    assert data.classes == 2
    assert data.train.pixels.shape[1:] == (3, 8, 8)
    red = data.test.pixels[:, 0].mean((1, 2))
    assert np.array_equal(red > 128, data.test.labels == 1)


def test_train_and_test_folders_are_kept_apart(tmp_path):
    write_folders(tmp_path / "train", 12)
    write_folders(tmp_path / "test", 4)
    assert len(load_dataset(str(tmp_path)).test) == 8


def test_an_empty_folder_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match="holds no images; give a folder of class folders"):
        load_dataset(str(tmp_path))


def test_a_file_that_is_no_image_is_named(tmp_path):
    write_folders(tmp_path, 12)
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png is not a readable image"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((0, 4, 4), np.uint8), "y": np.zeros(0, int)}, "holds no images"),
        ({"x": np.zeros((9, 4, 4)), "y": np.zeros(9, int)}, "uint8"),
        ({"x": np.zeros((9, 4, 4), np.uint8), "y": np.zeros(8, int)}, "as many integer labels"),
        ({"images": np.zeros((9, 4, 4), np.uint8)}, "expected x_train"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(2, int)}, "too few"),
    ],
)
def test_an_npz_that_cannot_be_used_says_why(tmp_path, arrays, words):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=words):
        load_dataset(str(tmp_path / "set.npz"))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"PK no")
    with pytest.raises(DataError, match="not a readable"):
        load_dataset(str(tmp_path / "set.npz"))


def test_a_missing_data_set_says_what_can_be_given():
    with pytest.raises(UsageError, match="IDX folder"):
        load_dataset("nowhere")


def test_the_digest_tells_whether_any_image_changed(tmp_path):
    pixels, labels = np.zeros((60, 4, 4), np.uint8), np.arange(60) % 2
    digests = []
    for value in (0, 0, 1):
        pixels[7, 1, 1] = value
        np.savez(tmp_path / "set.npz", x=pixels, y=labels)
        digests.append(load_dataset(str(tmp_path / "set.npz")).digest)
    assert digests[0] == digests[1] != digests[2]
