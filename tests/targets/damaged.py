"""Reads damaged copies of a model, one after another; run as a program, for readers may crash.

Usage: damaged.py FILE TARGET METHOD COUNT SEED. It prints a line for each copy that was neither
read nor refused, and the number of those that were refused.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from hwnat.errors import HwnatError
from hwnat.targets.base import get_target
from hwnat.targets.cuda.torch import TorchCudaTarget


def copies(whole, count, seed):
    """Yield copies with some bytes changed, every third one cut short as well."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        content = bytearray(whole)
        if index % 3 == 0:
            del content[int(rng.integers(1, len(content))) :]
        for position in rng.integers(0, len(content), int(rng.integers(1, 6))):
            content[position] = int(rng.integers(256))
        yield bytes(content)


def main(file, target, method, count, seed):
    """Read every copy."""
    reader = TorchCudaTarget(device="cpu") if target == "torch-cuda" else get_target(target)
    refused = 0
    whole = Path(file).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(file).name)
        weights = Path(file).with_suffix(".bin")
        if weights.exists():
            path.with_suffix(".bin").write_bytes(weights.read_bytes())
        for index, content in enumerate(copies(whole, int(count), int(seed))):
            path.write_bytes(content)
            sys.stderr.write(f"reading {index}\n")
            try:
                if method == "convert":
                    reader.convert(path, Path(folder, f"out{reader.suffix}"))
                else:
                    getattr(reader, method)(path)
            except HwnatError as error:
                refused += 1
                if "\n" in str(error):
                    sys.stdout.write(f"{index}: several lines: {error}\n")
            except Exception as error:  # noqa: BLE001 - what this looks for
                sys.stdout.write(f"{index}: {type(error).__name__}: {error}\n")
    sys.stdout.write(f"refused {refused}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
