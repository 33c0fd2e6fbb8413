"""Labelled images from an image folder, an IDX directory, an npz file or a bundled set."""

import gzip
import hashlib
import math
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hwnat.errors import DataError, UsageError

#: Limit on the classes of a data set; labels run from 0 to the largest one.
MAX_CLASSES: Final = 32_768
#: Limit on the pixels of one image file.
MAX_PIXELS: Final = 64 << 20
#: Limit on the bytes of all pixels of a data set in memory.
MAX_BYTES: Final = 4 << 30
#: Bytes that any data set may unpack to; above that, the limit is `MAX_RATIO` times its files.
_FREE_BYTES: Final = 128 << 20
MAX_RATIO: Final = 20
_MAX_VALIDATION: Final = 5000
_IDX_BYTES: Final = 0x08
_IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_HINT: Final = "a folder of class folders, an IDX folder (MNIST layout), an .npz file or 'digits'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Images and labels.

    Attributes:
        pixels: (n, c, h, w) uint8, where c is 1 or 3.
        labels: (n,) int64.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> "Images":
        """Return the images at `indices`, in that order."""
        return Images(pixels=self.pixels[indices], labels=self.labels[indices])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Three disjoint parts of a data set: use `validation` to guide a search and `test` once.

    Attributes:
        mean: grey level that is subtracted from pixels scaled to 0..1.
        std: divisor that is applied after the subtraction.
    """

    name: str
    classes: int
    train: Images
    validation: Images
    test: Images
    mean: float
    std: float

    @property
    def digest(self) -> str:
        """SHA-256 hash of the images and labels of all three parts."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(part.pixels.tobytes())
            digest.update(part.labels.tobytes())
        return digest.hexdigest()


def load_dataset(source: str, *, seed: int = 0) -> Dataset:
    """Read a data set and split off a validation part, and a test part if there is none.

    Args:
        source: `digits` (bundled with scikit-learn); an .npz file with `x_train`, `y_train`,
            `x_test`, `y_test` or `x`, `y`; a folder of IDX files; or a folder with one folder
            of images for each class, or with `train/` and `test/` that contain such folders.
        seed: seed of the stratified split.

    Raises:
        UsageError: there is no such data set at `source`.
        DataError: the data set is empty, damaged, inconsistent or over a limit.
    """
    path = Path(source)
    if source == "digits":
        parts = [_digits()]
    elif path.suffix == ".npz" and path.is_file():
        parts = _read_npz(path)
    elif path.is_dir() and list(path.glob("*-idx3-ubyte*")):
        parts = [_read_idx(path, prefix) for prefix in ("train", "t10k")]
    elif path.is_dir():
        halves = [path / "train", path / "test"]
        parts = _read_folders(halves if all(h.is_dir() for h in halves) else [path])
    else:
        msg = f"No data set at {source!r}: give {_HINT}."
        raise UsageError(msg)
    return _split(source, parts, seed=seed)


def _split(source: str, parts: list[Images], *, seed: int) -> Dataset:
    for part in parts:
        if len(part) == 0:
            msg = f"Data set {source} holds no images; give {_HINT}."
            raise DataError(msg)
        if len(part.pixels) != len(part.labels) or part.labels.min() < 0:
            msg = f"Data set {source}: {len(part.pixels)} images, {len(part.labels)} labels."
            raise DataError(msg)
    classes = int(max(part.labels.max() for part in parts)) + 1
    if classes > MAX_CLASSES:
        msg = (
            f"Data set {source} has labels up to {classes - 1}; the limit is {MAX_CLASSES - 1}. "
            "Number the classes from 0."
        )
        raise DataError(msg)
    rng = np.random.default_rng(seed)
    train = parts[0]
    if len(parts) == 1:
        train, test = _cut_off(source, train, len(train) * 2 // 9, rng)
    else:
        test = parts[1]
    count = min(_MAX_VALIDATION, len(train) * 2 // 7)
    train, validation = _cut_off(source, train, count, rng)
    mean, std = _mean_std(train.pixels)
    return Dataset(
        name=source,
        classes=classes,
        train=train,
        validation=validation,
        test=test,
        mean=mean,
        std=std or 1.0,
    )


def _mean_std(pixels: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Return the mean and sample deviation of pixels scaled to 0..1, from a histogram."""
    counts = np.zeros(256, np.int64)
    for image in pixels:
        counts += np.bincount(image.reshape(-1), minlength=256)
    levels = np.arange(256) / 255
    mean = float(np.average(levels, weights=counts))
    squares = float(np.sum(counts * (levels - mean) ** 2))
    return mean, (squares / max(1, int(counts.sum()) - 1)) ** 0.5


def _cut_off(
    source: str, images: Images, count: int, rng: np.random.Generator
) -> tuple[Images, Images]:
    """Split off `count` images so that every class keeps its share."""
    order = rng.permutation(len(images))
    labels = images.labels[order]
    rank = np.zeros(len(order))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = order[np.argsort(rank, kind="stable")]
    if not 0 < count < len(order):
        msg = f"Data set {source}: {len(order)} images are too few to hold some out."
        raise DataError(msg)
    return images.take(np.sort(order[count:])), images.take(np.sort(order[:count]))


def _check_bytes(unpacked: int, stored: int, where: object) -> None:
    """Refuse data that would fill the memory or is far larger than its files.

    Raises:
        DataError: the data exceeds `MAX_BYTES`, or `MAX_RATIO` times the size of its files.
    """
    limit = min(MAX_BYTES, max(_FREE_BYTES, MAX_RATIO * stored))
    if unpacked > limit:
        msg = (
            f"{where} unpacks to over {limit} bytes, which is the limit for {stored} bytes of "
            "files; give smaller or fewer images."
        )
        raise DataError(msg)


def _digits() -> Images:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return _images(pixels, bunch.target, "digits")


def _images(pixels: npt.NDArray[np.generic], labels: npt.ArrayLike, where: str) -> Images:
    """Check (n, h, w) or (n, h, w, c) bytes and convert them to `Images`."""
    array, numbers = np.asarray(pixels), np.asarray(labels)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and len(array) and min(array.shape) < 1:
        msg = f"{where}: images of {array.shape[1]}x{array.shape[2]} pixels hold nothing."
        raise DataError(msg)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.dtype != np.uint8:
        msg = (
            f"{where}: images must be uint8 of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3); "
            f"found {array.dtype} {array.shape}."
        )
        raise DataError(msg)
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.shape != (len(array),):
        msg = f"{where}: {len(array)} images need as many integer labels; found {numbers.shape}."
        raise DataError(msg)
    return Images(
        pixels=np.ascontiguousarray(array.transpose(0, 3, 1, 2)),
        labels=numbers.astype(np.int64),
    )


def _read_npz(path: Path) -> list[Images]:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        _check_bytes(unpacked, path.stat().st_size, path)
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = dict(file)
    except DataError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds of errors
        msg = (
            f"{path} is not a readable .npz file ({type(error).__name__}); write it with "
            "numpy.savez."
        )
        raise DataError(msg) from error
    for names in ((("x_train", "y_train"), ("x_test", "y_test")), (("x", "y"),)):
        if all(x in arrays and y in arrays for x, y in names):
            return [_images(arrays[x], arrays[y], f"{path}:{x}") for x, y in names]
    msg = f"{path} holds {sorted(arrays)}; expected x_train, y_train, x_test, y_test or x, y."
    raise DataError(msg)


def _read_idx(folder: Path, prefix: str) -> Images:
    arrays = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        files = sorted(file for file in folder.glob(f"{prefix}-{kind}*") if file.is_file())
        if not files:
            msg = f"{folder} lacks {prefix}-{kind}; an IDX folder holds four files (MNIST layout)."
            raise DataError(msg)
        arrays.append(_read_idx_file(files[0]))
    return _images(arrays[0], arrays[1], str(folder))


def _read_idx_file(path: Path) -> npt.NDArray[np.uint8]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zero, kind, dims = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{dims}I", file.read(4 * dims))
            _check_bytes(math.prod(shape), path.stat().st_size, path)
            body = np.frombuffer(file.read(math.prod(shape) + 1), np.uint8)
        if zero != 0 or kind != _IDX_BYTES:
            msg = f"type code {kind:#x} is not unsigned bytes"
            raise ValueError(msg)  # noqa: TRY301 - handled like other damage
        return body.reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        msg = f"{path} is not a whole IDX file: {error}."
        raise DataError(msg) from error


def _read_folders(roots: list[Path]) -> list[Images]:
    """Read one folder for each class; resize all images to the size of the first one."""
    names = sorted(entry.name for entry in roots[0].iterdir() if entry.is_dir())
    parts: list[Images] = []
    size: tuple[int, int] | None = None
    for root in roots:
        files = [
            (file, label)
            for label, name in enumerate(names)
            for file in sorted((root / name).glob("*"))
            if file.suffix.lower() in _IMAGE_SUFFIXES and file.is_file()
        ]
        if not files:
            msg = f"{root} holds no images; give {_HINT}."
            raise DataError(msg)
        pixels = []
        stored = sum(file.stat().st_size for file, _ in files)
        for file, _ in files:
            image = _read_image(file, size)
            size = size or (image.shape[1], image.shape[0])
            _check_bytes(image.nbytes * len(files), stored, root)
            pixels.append(image)
        labels = np.array([label for _, label in files])
        parts.append(_images(np.stack(pixels), labels, str(root)))
    return parts


def _check_pixels(count: int, path: Path) -> None:
    if count > MAX_PIXELS:
        msg = f"{path} has over {MAX_PIXELS} pixels, which is the limit; shrink or delete it."
        raise DataError(msg)


def _read_image(path: Path, size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `_check_pixels` raises an error instead
            with Image.open(path) as image:
                _check_pixels(image.width * image.height, path)
                rgb = image.convert("RGB")
    except DataError:
        raise
    except Image.DecompressionBombError:  # over Pillow's own limit, which is higher
        _check_pixels(MAX_PIXELS + 1, path)
        raise
    except Exception as error:  # Pillow's readers raise many kinds of errors
        msg = f"{path} is not a readable image ({type(error).__name__}); replace or delete it."
        raise DataError(msg) from error
    return np.asarray(rgb if size in (None, rgb.size) else rgb.resize(size))
