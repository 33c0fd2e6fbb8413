"""Whether a device computes what this machine does: else its times are those of other work."""

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

import numpy as np

from hwnat.device.runners.base import Answering
from hwnat.errors import DataError, DeviceError
from hwnat.records.device import DeviceSpec
from hwnat.targets.base import Session
from hwnat.transport.base import Transport
from hwnat.transport.words import printable

#: Largest difference from this machine, as a share of the range of its answer. Other kernels round
#: integers at other places; accelerators may compute with half the digits.
_LIMITS: Final = {"fp32": 1e-4, "int8": 0.1}
_DELEGATED: Final = 0.05
_RUN_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Asks a device what a model computes.

    Attributes:
        tools: folder of the runner's programs on the device.
        scratch: folder there for the two tensors.
        pin: words before the command.
    """

    link: Transport
    runner: Answering
    device: DeviceSpec
    tools: str
    scratch: str
    pin: tuple[str, ...] = ()

    def require(self, session: Session, model: str) -> float:
        """Compare the device's answer with that of this machine to the same random input.

        Args:
            session: the model, loaded here.
            model: the same file on the device.

        Returns:
            The largest difference as a share of the range of this machine's answer.

        Raises:
            DeviceError: it fails there, or differs too much.
        """
        x = np.random.default_rng(0).standard_normal(session.input_shape, dtype=np.float32)
        wanted = session.run(x)
        try:
            found = session.unpacked(self._ask(session.packed(x), model))
        except DataError as problem:
            msg = f"Device {self.device.name} answers with something else than the reference model "
            raise DeviceError(msg + f"does here: {problem}") from problem
        span = float(np.ptp(wanted)) or 1.0
        differs = float(np.max(np.abs(wanted - found))) / span
        limit = _LIMITS[self.device.precision] if self.device.delegate is None else _DELEGATED
        if not differs <= limit:  # written so that NaN fails
            msg = (
                f"Device {self.device.name} computes something else than this machine: the answers "
                f"of the reference model differ by {differs:.1e} of their range (limit {limit:g}), "
                "so its times would be those of other work. Name another `runner`, or without the "
                "`delegate`, in the device file; see docs/devices.md."
            )
            raise DeviceError(msg)
        return differs

    def _ask(self, given: bytes, model: str) -> bytes:
        """Send a tensor, run the model on it and fetch the answer."""
        word = token_hex(8)
        there = [f"{self.scratch}/{kind}-{word}" for kind in ("given", "answer")]
        with tempfile.TemporaryDirectory(prefix="hwnat-") as folder:
            here = Path(folder) / "tensor"
            here.write_bytes(given)
            try:
                self.link.push(here, there[0])
                argv = self.runner.answer(
                    folder=self.tools, model=model, given=there[0], answer=there[1]
                )
                done = self.link.run([*self.pin, *argv], timeout_s=_RUN_S)
                if done.returncode:
                    said = printable(done.stderr or done.stdout, limit=300) or "nothing"
                    msg = f"Device {self.device.name} cannot run the reference model: it ended "
                    msg += f"with {done.returncode} and says {said}. See: hwnat device doctor "
                    raise DeviceError(msg + self.device.name)
                self.link.pull(there[1], here)
                return here.read_bytes()
            finally:
                with suppress(DeviceError):
                    self.link.run(["rm", "-f", *there], timeout_s=20)
