"""One-operator modules through every runtime: what they compute, and what cannot be written."""

import numpy as np
import pytest
import torch

from hwnat.errors import UsageError
from hwnat.export.parity import check_parity
from hwnat.records.op import OpSpec
from hwnat.targets.base import get_target
from hwnat.targets.cuda.torch_file import read_program, write_program
from hwnat.targets.modules.plain import input_shape, op_module

ACTS = (
    *("relu", "relu6", "leakyrelu", "elu", "hswish", "hsigmoid"),
    *("swish", "sigmoid", "tanh", "gelu", "mish"),
)
IMAGES = (
    "conv|in=1x9x7x6|out=8|k=3|s=2|act=relu6|float32",
    "conv|in=1x9x7x6|out=8|k=3|s=1|act=none|g=2|float32",
    "conv|in=1x9x7x6|out=8|k=3|s=1|act=sigmoid|d=2|float32",
    "conv|in=1x9x7x6|out=8|k=1|s=1|act=relu|kw=5|float32",
    "conv|in=1x9x7x6|out=8|k=3|s=1|act=relu|o=7x5|float32",
    "conv|in=1x8x8x6|out=8|k=8|s=8|act=none|float32",
    "conv|in=1x8x8x6|out=8|k=2|s=1|act=none|float32",
    "conv|in=1x8x8x6|out=6|k=3|s=1|act=relu|skip=1|float32",
    "conv|in=1x8x8x6|out=8|k=3|s=2|act=relu|skip=1|float32",
    "conv|in=1x8x8x6|out=8|k=1|s=1|act=leakyrelu|float32",
    "dwconv|in=1x9x7x8|out=8|k=5|s=2|act=hswish|float32",
    "dwconv|in=1x9x7x8|out=16|k=3|s=1|act=swish|float32",
    "pool|in=1x9x9x8|k=3|s=2|op=max|float32",
    "pool|in=1x8x8x8|k=3|s=2|op=max|o=3x3|float32",
    "pool|in=1x8x8x8|k=3|s=1|op=avg|float32",
    "pool|in=1x8x8x8|k=2|s=2|op=avg|float32",
    "gpool|in=1x8x8x8|op=avg|float32",
    "gpool|in=1x8x8x8|op=max|float32",
    "add|in=1x8x8x8|act=relu|n=2|float32",
    "add|in=1x8x8x8|act=none|n=3|float32",
    "add|in=1x8x8x8|act=none|n=1|float32",
    "mul|in=1x8x8x8|act=none|n=2|bc=1|float32",
    "mul|in=1x8x8x8|act=none|n=2|t=1|float32",
    "concat|in=1x8x8x24|out=48|n=3|float32",
    *(f"act|in=1x8x8x8|act={act}|float32" for act in ACTS),
    "move|in=1x8x8x6|o=10x10|float32",
    "softmax|in=2x1x1x10|float32",
    "move|in=1x8x8x6|o=10x10|float32",
    "linear|in=1x1x1x12|out=10|act=relu|float32",
)  # fmt: skip
#: What the TFLite writer has no form for.
OTHERS = (
    "deconv|in=1x8x8x6|out=4|k=4|s=2|act=none|o=16x16|float32",
    "act|in=1x8x8x8|act=prelu|float32",
    "resize|in=1x8x8x6|o=16x16|float32",
    "move|in=1x8x8x6|float32",
    "move|in=1x8x8x6|out=4|o=4x8|float32",
    "linear|in=1x1x16x12|out=10|act=gelu|float32",
    "linear|in=1x1x16x12|out=12|skip=1|float32",
    "matmul|in=1x2x16x8|out=16|float32",
    "softmax|in=1x2x16x16|float32",
    "norm|in=1x1x16x12|op=layer|float32",
    "norm|in=1x8x8x16|op=group|float32",
    "norm|in=1x8x8x16|op=instance|float32",
)
#: Modules that the TFLite writer refuses.
UNWRITTEN = [key for key in OTHERS if key.split("|")[0] in ("deconv", "act", "move", "norm")]


@pytest.mark.parametrize("name", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize("key", [*IMAGES, *OTHERS])
def test_a_module_of_one_operator_computes_what_torch_does(name, key, randomised, images, tmp_path):
    op, target = OpSpec.from_key(key), get_target(name)
    torch.manual_seed(0)
    module, path = randomised(op_module(op)).eval(), tmp_path / f"net{target.suffix}"
    x = images(*input_shape(op))
    with torch.no_grad():
        size = module(torch.from_numpy(x)).shape
    assert int(np.prod(size)) == int(np.prod(op.out_shape))
    if name == "tflite" and key in UNWRITTEN:
        with pytest.raises(UsageError, match="TFLite"):
            target.export(module, x.shape, path)
        return
    target.export(module, x.shape, path)
    check_parity(module, target.load(path), x).require(key)


@pytest.mark.parametrize("key", [*IMAGES, *OTHERS])
def test_a_file_of_any_operator_is_let_through_by_its_reader(key, tmp_path):
    op = OpSpec.from_key(key)
    write_program(op_module(op).eval(), input_shape(op), tmp_path / "net.pt2")
    assert len(read_program(tmp_path / "net.pt2").graph_signature.user_outputs) == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("conv|in=1x8x8x6|out=8|k=3|s=1|act=none|o=99x99|float32", "99 outputs of 8 inputs"),
        ("concat|in=1x8x8x24|out=99|n=3|float32", "up to 24 channels"),
        ("deconv|in=1x8x8x6|out=4|k=2|s=2|act=none|o=99x99|float32", "transposed"),
    ],
)
def test_an_operator_that_no_module_computes_is_refused(key, said):
    with pytest.raises(UsageError, match=said):
        op_module(OpSpec.from_key(key))


def test_the_operators_of_a_space_keep_the_modules_they_ship_as():
    one = op_module(OpSpec.from_key("conv|in=1x8x8x6|out=8|k=3|s=2|act=hswish|float32"))
    assert [name for name, _ in one.named_children()] == ["conv", "bn", "act"]
