"""A target without a runtime: files name what they hold, and a run says how long it took."""

from hwnat.records.artifact import describe, staged
from hwnat.targets.base import Session


class StubSession(Session):
    def __init__(self, shape):
        self.input_shape = shape
        self.runs = 0

    def prepare(self, x):
        assert x.shape == self.input_shape

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
        return StubSession(tuple(map(int, path.read_text().strip("()").split(","))))

    def convert(self, onnx, path):
        raise NotImplementedError(path)

    def trace(self, path):
        raise NotImplementedError(path)

    def runtime(self):
        return "stub", "1"
