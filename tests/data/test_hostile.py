"""Data sets from anybody: what would fill the memory is refused, and each limit is named."""

import gzip
import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from hwnat.data import readers
from hwnat.data.readers import load_dataset
from hwnat.errors import DataError


def write_idx(folder, *, sizes=(60, 8, 8), body=b"", suffix=".gz"):
    """An IDX folder whose header promises `sizes`, with `body` behind it."""
    content = struct.pack(">HBBIII", 0, 8, 3, *sizes) + body
    labels = struct.pack(">HBBI", 0, 8, 1, sizes[0]) + bytes(60)
    for prefix in ("train", "t10k"):
        for kind, data in (("images-idx3", content), ("labels-idx1", labels)):
            data = gzip.compress(data) if suffix else data
            (folder / f"{prefix}-{kind}-ubyte{suffix}").write_bytes(data)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_header_of_gigabytes_is_refused_before_anything_is_unpacked(tmp_path, suffix):
    write_idx(tmp_path, sizes=(4_000_000_000, 1000, 1000), suffix=suffix)
    with pytest.raises(DataError, match=r"unpacks to over \d+ bytes, which is the limit for"):
        load_dataset(str(tmp_path))


def test_an_idx_file_with_more_behind_it_than_its_header_says_is_refused(tmp_path):
    write_idx(tmp_path, body=bytes(60 * 64 + 1))
    with pytest.raises(DataError, match="not a whole IDX file"):
        load_dataset(str(tmp_path))


def test_an_npz_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as member,
    ):
        for _ in range(200):
            member.write(bytes(1 << 20))
    with pytest.raises(DataError, match="which is the limit"):
        load_dataset(str(path))


def test_a_picture_of_too_many_pixels_is_refused(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("1", (9_000, 8_000)).save(tmp_path / name / "0.png")
    with pytest.raises(DataError, match=rf"0\.png has over {readers.MAX_PIXELS} pixels"):
        load_dataset(str(tmp_path))


def test_pictures_that_are_too_large_together_are_refused_at_the_first(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(20):
            Image.new("1", (2_000, 2_000)).save(tmp_path / name / f"{index}.png")
    with pytest.raises(DataError, match="unpacks to over"):
        load_dataset(str(tmp_path))


def test_an_absurd_label_is_refused(tmp_path):
    pixels, labels = np.zeros((60, 4, 4), np.uint8), np.arange(60) % 2
    labels[3] = 4_000_000_000
    np.savez(tmp_path / "set.npz", x=pixels, y=labels)
    with pytest.raises(DataError, match=rf"4000000000; the limit is {readers.MAX_CLASSES - 1}"):
        load_dataset(str(tmp_path / "set.npz"))


def test_pictures_without_pixels_are_refused(tmp_path):
    np.savez(tmp_path / "set.npz", x=np.zeros((60, 0, 4), np.uint8), y=np.arange(60) % 2)
    with pytest.raises(DataError, match="0x4 pixels hold nothing"):
        load_dataset(str(tmp_path / "set.npz"))


def test_a_pipe_among_the_files_is_passed_over(tmp_path):
    write_idx(tmp_path, body=bytes(60 * 64))
    (tmp_path / "train-images-idx3-ubyte.gz").unlink()
    os.mkfifo(tmp_path / "train-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match="lacks train-images"):
        load_dataset(str(tmp_path))


def test_damaged_files_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(5)
    np.savez_compressed(
        tmp_path / "whole.npz", x=np.zeros((60, 4, 4), np.uint8), y=np.arange(60) % 2
    )
    whole = (tmp_path / "whole.npz").read_bytes()
    path, refused = tmp_path / "set.npz", 0
    for _ in range(150):
        content = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for position in rng.integers(0, len(content), 3):
            content[position] = rng.integers(256)
        path.write_bytes(content)
        try:
            load_dataset(str(path))
        except DataError:
            refused += 1
    assert refused > 100
