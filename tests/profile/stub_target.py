"""A target without a runtime: files name what they hold, and a run says how long it took."""

from pathlib import Path

from hwnat.errors import DataError, UsageError
from hwnat.records.artifact import describe, staged
from hwnat.targets.base import Session
from hwnat.targets.inputs import TensorSpec


class StubSession(Session):
    def __init__(self, shape):
        self.path = Path("net.stub")
        self.signature = (TensorSpec(name="x", shape=shape, dtype="float32"),)
        self.runs = 0

    def bind(self, feed):
        assert [x.shape for x in feed] == [self.input_shape]

    def invoke(self):
        self.runs += 1

    def timed(self):
        """Return nanoseconds that a busy machine does not change; some runs take 1 % longer."""
        self.invoke()
        base_ns = 20_000 * self.input_shape[2]
        return base_ns + base_ns // 100 * (self.runs % 3 == 0)


class StubTarget:
    name = "stub"
    suffix = ".stub"
    layout = "NCHW"
    precision = "fp32"

    def export(self, module, input_shape, path):
        assert not module.training
        with staged(path) as target:
            target.write_text(repr(tuple(input_shape)))
        return describe(path, target="stub", layout="NCHW", nchw=input_shape)

    def load(self, path, *, threads=1):
        assert threads == 1
        content = path.read_text()
        if not content.startswith("("):
            msg = f"{path} is not a stub."
            raise DataError(msg)
        return StubSession(tuple(map(int, content.strip("()").split(","))))

    def convert(self, onnx, path):
        raise NotImplementedError(path)

    def trace(self, path):
        msg = f"{path}: a stub has no operators."
        raise UsageError(msg)

    def runtime(self):
        return "stub", "1"
