"""Keys of executed kernels: the same work has the same key, and no kernel is guessed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.records.op import OpSpec
from hwnat.targets.kernel import _RULES, ACTIVATIONS, Call, to_op


def call(kind, *inputs, output=None, batch=1, **more):
    return Call(kind=kind, inputs=inputs, output=output or inputs[0], batch=batch, **more)


def key(described):
    op, reason = described
    assert not reason
    return op.key


CONV = {"kernel": (3, 3), "strides": (2, 2), "group": 1}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (call("Conv", (1, 4, 9, 9), output=(1, 8, 5, 5), weight=(8, 4, 3, 3), attributes=CONV),
         "conv|in=1x9x9x4|out=8|k=3|s=2|act=none|float32"),
        (call("Conv", (1, 9, 9, 4), output=(1, 5, 5, 8), weight=(8, 3, 3, 4), nhwc=True,
              attributes=CONV), "conv|in=1x9x9x4|out=8|k=3|s=2|act=none|float32"),
        (call("Conv", (1, 4, 9, 9), output=(1, 4, 4, 4), weight=(4, 1, 3, 3), act="HardSwish",
              attributes=CONV | {"group": 4}),
         "dwconv|in=1x9x9x4|out=4|k=3|s=2|act=hswish|o=4x4|float32"),
        (call("Conv", (1, 1, 9, 9), output=(1, 8, 5, 5), weight=(8, 1, 3, 3), attributes=CONV),
         "conv|in=1x9x9x1|out=8|k=3|s=2|act=none|float32"),
        (call("Gemm", (1, 64), output=(1, 10), weight=(10, 64)),
         "linear|in=1x1x1x64|out=10|float32"),
        (call("Gemm", (50, 64), output=(50, 10), weight=(64, 10), batch=2),
         "linear|in=2x1x25x64|out=10|float32"),
        (call("MatMul", (1, 4, 50, 16), (1, 4, 16, 50), output=(1, 4, 50, 50)),
         "matmul|in=1x4x50x16|out=50|float32"),
        (call("MatMul", (4, 50, 16), (4, 16, 50), output=(4, 50, 50)),
         "matmul|in=1x4x50x16|out=50|float32"),
        (call("ReduceMean", (1, 8, 7, 7), output=(1, 8, 1, 1), attributes={"axes": (-1, -2)}),
         "gpool|in=1x7x7x8|op=avg|float32"),
        (call("ReduceMean", (1, 50, 8), output=(1, 8), attributes={"axes": (1,)}),
         "gpool|in=1x1x50x8|op=avg|float32"),
        (call("Mul", (1, 8, 7, 7), (1, 8, 1, 1)), "mul|in=1x7x7x8|act=none|n=2|bc=1|float32"),
        (call("Add", (1, 8, 7, 7)), "add|in=1x7x7x8|act=none|n=1|float32"),
        (call("Sub", (1, 8, 7, 7), (1, 8, 7, 7), act="Relu"),
         "add|in=1x7x7x8|act=relu|n=2|float32"),
        (call("Concat", (1, 8, 7, 7), (1, 24, 7, 7), output=(1, 32, 7, 7)),
         "concat|in=1x7x7x24|out=32|n=2|float32"),
        (call("Concat", (1, 8, 7, 7), (1, 8, 7, 7), output=(1, 8, 14, 7)),
         "move|in=1x14x7x8|float32"),
        (call("Softmax", (1, 4, 50, 50)), "softmax|in=1x4x50x50|float32"),
        (call("Softmax", (1, 4, 7, 9), attributes={"axis": 1}), "softmax|in=1x7x9x4|float32"),
        (call("Sigmoid", (1, 8, 7, 7)), "act|in=1x7x7x8|act=sigmoid|float32"),
        (call("Resize", (1, 8, 7, 7), output=(1, 8, 14, 14)), "resize|in=1x7x7x8|o=14x14|float32"),
        (call("Transpose", (1, 50, 4, 16), output=(1, 4, 50, 16)), "move|in=1x4x16x50|float32"),
        (call("LayerNormalization", (1, 50, 64)), "norm|in=1x1x50x64|op=layer|float32"),
        (call("Conv", (1, 4, 9, 9), output=(1, 8, 5, 9), weight=(8, 4, 3, 3),
              attributes={"kernel": (3, 3), "strides": (2, 1), "dilations": (1, 2)}),
         "conv|in=1x9x9x4|out=8|k=3|s=2|act=none|sw=1|dw=2|float32"),
        (call("Conv", (1, 4, 9), output=(1, 8, 5), weight=(8, 4, 3),
              attributes={"kernel": (3,), "strides": (2,), "dilations": (1,)}),
         "conv|in=1x1x9x4|out=8|k=1|s=2|act=none|kw=3|float32"),
        (call("Conv", (1, 4, 9, 9), output=(1, 8, 9, 9), weight=(8, 4, 1, 1), dtype="uint8",
              weights="int8"), "conv|in=1x9x9x4|out=8|k=1|s=1|act=none|w=int8|uint8"),
        (call("Gemm", (1, 64), output=(1, 10), weight=(10, 64), weights="int8"),
         "linear|in=1x1x1x64|out=10|w=int8|float32"),
        (call("Resize", (1, 8, 7, 7), output=(1, 8, 9, 9), attributes={"mode": b"linear"}),
         "resize|in=1x7x7x8|o=9x9|op=linear|float32"),
        (call("Div", (1, 8, 7, 7), (1, 8, 7, 7)), "div|in=1x7x7x8|act=none|n=2|float32"),
        (call("Add", (1, 8, 7, 7), dtype="int64"), "add|in=1x7x7x8|act=none|n=1|int64"),
        (call("Add", (1, 8, 7, 7), weight=(8, 1, 1)), "add|in=1x7x7x8|act=none|n=1|float32"),
        (call("Add", (1, 8, 7, 7), weight=(1, 8, 7, 7)), "add|in=1x7x7x8|act=none|n=2|float32"),
        (call("Add", (1, 8, 1, 7), (1, 8, 7, 1), output=(1, 8, 7, 7)),
         "add|in=1x7x7x8|act=none|n=2|bc=1|float32"),
        (call("Exp", (1, 8, 7, 7)), "unary|in=1x7x7x8|op=exp|float32"),
        (call("Pow", (1, 50, 8)), "binary|in=1x1x50x8|op=pow|n=1|float32"),
        (call("ReduceMean", (1, 8, 7, 7), output=(1, 1, 7, 7), attributes={"axes": (1,)}),
         "reduce|in=1x7x7x8|op=avg|out=1|float32"),
        (call("ReduceSum", (1, 8, 7, 7), output=(1, 8, 7, 1), attributes={"axes": (3,)}),
         "reduce|in=1x7x7x8|op=sum|o=7x1|float32"),
        (call("Gather", (1, 12), output=(1, 12, 64), dtype="int64", out_dtype="float32"),
         "gather|in=1x1x12x64|float32"),
        (call("Cast", (1, 12), dtype="int64", out_dtype="float32"),
         "cast|in=1x1x1x12|w=float32|int64"),
        (call("MultiHeadAttention", (1, 50, 64), (1, 40, 64), (1, 40, 32), output=(1, 50, 32),
              attributes={"heads": 4}), "sdpa|in=1x4x50x16|mid=40|out=8|float32"),
        (call("LSTM", (20, 2, 64), output=(20, 2, 2, 32), weight=(2, 128, 64), batch=2,
              attributes={"hidden_size": 32, "direction": b"bidirectional"}),
         "lstm|in=2x1x20x64|out=32|n=2|float32"),
    ],
)  # fmt: skip
def test_a_kernel_has_the_key_of_its_work(asked, expected):
    assert key(to_op(asked)) == expected


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            call("Resize", (1, 8, 7, 7), output=(1, 8, 9, 9), attributes={"mode": b"lanczos"}),
            "interpolates (lanczos)",
        ),
        (call("Einsum", (1, 8, 7, 7)), "operator Einsum has no operation kind"),
        (
            call("Conv", (1, 4, 9, 9, 9), output=(1, 8, 9, 9, 9), weight=(8, 4, 3, 3, 3)),
            "images only, of four axes",
        ),
        (
            call("Conv", (1, 4, 9, 9), (8, 4, 3, 3), output=(1, 8, 5, 5)),
            "weights that are computed",
        ),
        (call("Relu", (1, 8, 7, 7), act="Softsign"), "Softsign"),
        (call("ReduceMean", (1, 8, 7, 7), output=(1, 1, 7, 7)), "axes that are not known"),
        (
            call("ReduceSum", (2, 3, 8), output=(3, 8), attributes={"axes": (0,)}, batch=2),
            "the batch",
        ),
        (call("Add", (1, 8, 7, 7), dtype="string"), "computes in string"),
        (call("Cast", (1, 8), out_dtype="string"), "makes string values"),
        (call("MultiHeadAttention", (1, 8, 64)), "three tensors"),
        (call("LSTM", (1, 8, 64)), "no known size of its state"),
        (call("Transpose", (1, 8, 7, 7), act="Relu"), "act without meaning"),
        (Call(kind="Relu", inputs=(), output=(1,), batch=1), "no computed input"),
    ],
)
def test_what_the_grammar_does_not_know_is_opaque_with_a_reason(asked, reason):
    op, said = to_op(asked)
    assert reason in said
    assert op.kind == "opaque"
    assert OpSpec.from_key(op.key) == op


def test_an_opaque_key_holds_all_that_determines_the_work_and_no_more():
    def form(**changes):
        asked = call("Einsum", (1, 8, 7, 7), attributes={"equation": b"ij->i", "axis": 1})
        return to_op(replace(asked, **changes))[0].key

    same = call("Einsum", (1, 8, 7, 7), attributes={"axis": 1, "equation": b"ij->i"})
    assert to_op(same)[0].key == form()
    assert form().startswith("opaque|in=1x8x7x7|f=Einsum.")
    changes = (
        {"inputs": ((1, 8, 7, 8),)}, {"output": (1, 8, 7, 8)}, {"detail": ("pads (0, 1)",)},
        {"attributes": {"equation": b"ij->j", "axis": 1}}, {"weight": (3,)}, {"act": "Relu"},
        {"residual": True}, {"tail": 1}, {"dtype": "int64"}, {"nhwc": True}, {"label": "Two"},
    )  # fmt: skip
    assert len({form(), *(form(**change) for change in changes)}) == len(changes) + 1


def test_an_opaque_key_joins_leading_axes_and_caps_what_no_key_can_hold():
    for shape, text in [((2, 3, 4, 5, 6), "6x4x5x6"), ((5,), "1x1x1x5"), ((), "1x1x1x1"),
                        ((0, 4), "1x1x1x4"), ((1, 2_000_000), "1x1x1x999999")]:  # fmt: skip
        op, _ = to_op(call("Einsum", shape, output=(1,), label="A+B / C"))
        assert op.key.startswith(f"opaque|in={text}|f=ABC.")


SIZES = st.lists(st.integers(0, 20), max_size=5).map(tuple)


@given(
    kind=st.sampled_from([*sorted(_RULES), "Unheard"]),
    inputs=st.lists(SIZES, max_size=3),
    output=SIZES,
    weight=st.none() | SIZES,
    kernel=SIZES,
    strides=SIZES,
    axes=st.lists(st.integers(-5, 5), max_size=3),
    act=st.sampled_from(["", "Relu", "Unheard", *ACTIVATIONS]),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_no_kernel_whatsoever_is_a_crash(
    kind, inputs, output, weight, kernel, strides, axes, act, flags
):
    op, reason = to_op(
        Call(
            kind=kind,
            inputs=tuple(inputs),
            output=output,
            batch=2,
            nhwc=flags[0],
            residual=flags[1],
            weight=weight,
            act=act,
            attributes={"kernel": kernel, "strides": strides, "axes": axes, "group": 2},
        )
    )
    assert bool(reason) == (op.kind == "opaque")
    assert OpSpec.from_key(op.key) == op
