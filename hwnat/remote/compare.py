"""Compares the outputs of a device with those of this machine before anything is timed."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwnat.device.runners.base import Answering
from hwnat.errors import DeviceError
from hwnat.remote.reach import Reached
from hwnat.targets.base import Session
from hwnat.targets.inputs import random_feed, shown
from hwnat.transport.words import printable

#: Largest difference from this machine's output, as a share of its range. Kernels differ in where
#: they round integers, and accelerators may compute in half precision.
_LIMITS: Final = {"fp32": 1e-4, "int8": 0.1}
_DELEGATED: Final = 0.05
_RUN_S: Final = 300.0


def compare(at: Reached, runner: Answering, session: Session, model: str) -> float:
    """Compare the outputs of a device for random inputs with those of this machine.

    Args:
        at: the device.
        runner: runner of the device.
        session: the model, loaded on this machine.
        model: path of the same model on the device.

    Returns:
        The largest difference of an output as a share of its range on this machine.

    Raises:
        DeviceError: the model fails on the device, or the outputs differ too much.
    """
    name = at.spec.name
    feed = random_feed(session.signature, np.random.default_rng(0))
    session.bind(feed)
    session.invoke()
    expected = session.outputs()
    raw = _answer(at, runner, b"".join(x.tobytes() for x in feed), model)
    answers = _split(raw, expected, name)
    difference = float(np.max([_difference(*pair) for pair in zip(expected, answers, strict=True)]))
    limit = _LIMITS[at.spec.precision] if at.spec.delegate is None else _DELEGATED
    if not difference <= limit:  # written so that NaN fails
        msg = (
            f"Device {name} does not compute what this machine does: the outputs of the "
            f"reference model differ by {difference:.1e} of their range (limit {limit:g}), so its "
            "timings would not be comparable. Choose another `runner`, or remove `delegate`, in "
            "the device file; see docs/devices.md."
        )
        raise DeviceError(msg)
    return difference


def _split(raw: bytes, expected: Sequence[npt.NDArray[Any]], name: str) -> list[npt.NDArray[Any]]:
    """Return the bytes of all outputs as arrays like those expected.

    Raises:
        DeviceError: the number of bytes differs.
    """
    wanted = sum(y.nbytes for y in expected)
    if len(raw) != wanted:
        listed = ", ".join(f"{shown(y.shape)} {y.dtype}" for y in expected)
        msg = (
            f"Device {name} returns {len(raw)} bytes for the outputs of the reference model; here "
            f"they are {listed}, {wanted} bytes. Run: hwnat device doctor {name}"
        )
        raise DeviceError(msg)
    arrays, start = [], 0
    for y in expected:
        arrays.append(np.frombuffer(raw, y.dtype, y.size, start).reshape(y.shape))
        start += y.nbytes
    return arrays


def _difference(expected: npt.NDArray[Any], answer: npt.NDArray[Any]) -> float:
    """Return the largest difference as a share of the range; 0 for an output without elements."""
    if not expected.size:
        return 0.0
    wide = expected.astype(np.float64)
    return float(np.max(np.abs(wide - answer))) / (float(np.ptp(wide)) or 1.0)


def _answer(at: Reached, runner: Answering, given: bytes, model: str) -> bytes:
    """Send the inputs, run the model on them and fetch the outputs."""
    word = token_hex(8)
    given_path, answer_path = (f"{at.jobs}/{kind}-{word}" for kind in ("given", "answer"))
    with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
        here = Path(folder) / "tensor"
        here.write_bytes(given)
        try:
            at.link.push(here, given_path)
            argv = runner.answer(folder=at.tools, model=model, given=given_path, answer=answer_path)
            done = at.link.run([*at.pin, *argv], timeout_s=_RUN_S)
            if done.returncode:
                printed = printable(done.stderr or done.stdout, limit=300) or "nothing"
                msg = (
                    f"Device {at.spec.name} cannot run the reference model: the runner ended with "
                    f"{done.returncode} and printed {printed}. Run: hwnat device doctor "
                    f"{at.spec.name}"
                )
                raise DeviceError(msg)
            at.link.pull(answer_path, here)
            return here.read_bytes()
        finally:
            with suppress(DeviceError):
                at.link.run(["rm", "-f", given_path, answer_path], timeout_s=20)
