"""Networks that time an operator: the runtime executes it as often as meant, and nothing else."""

from collections import Counter

import pytest

from hwnat.errors import UsageError
from hwnat.records.op import OpSpec
from hwnat.targets.base import get_target
from hwnat.targets.modules.bench import FORMS, Bench, copies, difference
from hwnat.targets.trace import Trace, TracedOp

KEYS = (
    "conv|in=1x8x8x64|out=64|k=3|s=1|act=relu|float32",
    "conv|in=1x8x8x64|out=64|k=3|s=1|act=relu|skip=1|float32",
    "conv|in=1x8x8x24|out=40|k=1|s=1|act=none|float32",
    "dwconv|in=1x16x16x32|out=32|k=5|s=2|act=relu|float32",
    "pool|in=1x16x16x32|k=2|s=2|op=max|float32",
    "gpool|in=1x16x16x32|op=avg|float32",
    "mul|in=1x16x16x32|act=none|n=2|bc=1|float32",
    "concat|in=1x16x16x32|out=64|n=2|float32",
    "act|in=1x16x16x32|act=sigmoid|float32",
    "linear|in=1x1x1x1280|out=10|float32",
)


def benched(key, name, folder):
    target, op = get_target(name), OpSpec.from_key(key)
    reasons = []
    for form in FORMS:
        bench = Bench(op=op, count=copies(op), form=form)
        try:
            traces = []
            for each in (bench, bench.baseline):
                path = folder / f"{form}{each.base}{target.suffix}"
                target.export(each.module(), each.input_shape, path)
                traces.append(target.trace(path))
        except UsageError as error:
            reasons.append(str(error))
            continue
        rest = difference(bench, *traces)
        if not isinstance(rest, str):
            return rest
        reasons.append(rest)
    pytest.fail(f"{reasons}")


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize("key", KEYS)
def test_an_operator_runs_as_it_does_inside_a_network(key, name, tmp_path):
    if name == "tflite" and "skip=1" in key:
        pytest.skip("XNNPACK fuses no sums, so no TFLite trace holds such a key")
    rest = benched(key, name, tmp_path)
    assert all(other.startswith("move|") for other in rest)
    if name != "onnx":  # whose other layouts begin and end here
        assert not rest


@pytest.mark.parametrize(
    "key", ["softmax|in=1x2x16x16|float32", "linear|in=1x1x16x32|out=64|float32",
            "norm|in=1x1x16x32|op=layer|float32", "matmul|in=1x2x16x8|out=16|float32"]
)  # fmt: skip
def test_so_do_operators_on_rows(key, tmp_path):
    assert not benched(key, "onnx", tmp_path)


def test_small_operators_run_more_often():
    small = OpSpec.from_key("act|in=1x1x1x32|act=relu|float32")
    large = OpSpec.from_key("conv|in=1x56x56x64|out=64|k=3|s=1|act=relu|float32")
    assert copies(small) == 8
    assert copies(large) == 1


def test_baselines_of_equal_operands_are_one():
    one, two = (
        Bench(op=OpSpec.from_key(f"conv|in=1x8x8x8|out=8|k={k}|s=1|act=relu|float32"), count=2)
        for k in (3, 5)
    )
    assert one.key != two.key
    assert one.baseline.key == two.baseline.key
    act = Bench(op=OpSpec.from_key("act|in=1x8x8x8|act=relu|float32"), count=2)
    assert act.baseline.key != one.baseline.key  # each of its copies has an operand of its own


def test_what_else_differs_is_noticed():
    op = OpSpec.from_key(KEYS[0])
    other, move = KEYS[3].replace("16x16x32", "64x64x32"), "move|in=1x32x32x64|float32"
    bench = Bench(op=op, count=2)

    def trace(*keys):
        ops = [TracedOp(op=OpSpec.from_key(key), nodes=(), kernel="k") for key in keys]
        return Trace(target="t", runtime="r", batch=1, ops=tuple(ops), removed=())

    base = trace("linear|in=1x1x1x8|out=8|float32")
    twice = (op.key, op.key)
    linear = "linear|in=1x1x1x8|out=8|float32"
    assert difference(bench, trace(*twice, linear), base) == Counter()
    assert difference(bench, trace(*twice, linear, move), base) == Counter({move: 1})
    assert "adds or removes dwconv" in difference(bench, trace(*twice, linear, other), base)
    assert "1 times instead of 2" in difference(bench, trace(op.key, linear), base)
