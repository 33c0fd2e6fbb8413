"""Compare what a device computes with this machine; otherwise its timings mean nothing."""

import tempfile
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

import numpy as np

from hwnat.device.runners.base import Answering
from hwnat.errors import DataError, DeviceError
from hwnat.remote.reach import Reached
from hwnat.targets.base import Session
from hwnat.transport.words import printable

#: Largest difference from this machine, as a share of the range of its answer. Other kernels round
#: integers in other places; accelerators may compute with half the digits.
_LIMITS: Final = {"fp32": 1e-4, "int8": 0.1}
_DELEGATED: Final = 0.05
_RUN_S: Final = 300.0


def compare(at: Reached, runner: Answering, session: Session, model: str) -> float:
    """Compare a device's answer to a random input with this machine's.

    Args:
        at: the device.
        runner: of the device.
        session: the model, loaded here.
        model: the same file on the device.

    Returns:
        The largest difference as a share of the range of this machine's answer.

    Raises:
        DeviceError: the model fails there, or the answers differ too much.
    """
    name = at.spec.name
    x = np.random.default_rng(0).standard_normal(session.input_shape, dtype=np.float32)
    expected = session.run(x)
    try:
        answer = session.unpacked(_answer(at, runner, session.packed(x), model))
    except DataError as problem:
        msg = (
            f"Device {name} returns another kind of output than the reference model does here: "
            f"{problem} Run: hwnat device doctor {name}"
        )
        raise DeviceError(msg) from problem
    span = float(np.ptp(expected)) or 1.0
    difference = float(np.max(np.abs(expected - answer))) / span
    limit = _LIMITS[at.spec.precision] if at.spec.delegate is None else _DELEGATED
    if not difference <= limit:  # written so that NaN fails
        msg = (
            f"Device {name} computes something else than this machine: the outputs of the "
            f"reference model differ by {difference:.1e} of their range (limit {limit:g}), so its "
            "timings would not be comparable. Choose another `runner`, or remove `delegate`, in "
            "the device file; see docs/devices.md."
        )
        raise DeviceError(msg)
    return difference


def _answer(at: Reached, runner: Answering, given: bytes, model: str) -> bytes:
    """Send a tensor, run the model on it and fetch the output."""
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
