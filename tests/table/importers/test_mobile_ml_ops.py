import pytest

from hwnat.errors import DataError
from hwnat.table.importers.mobile_ml_ops import described


def key(operation, kernels=("kernel_0",), **sizes):
    cell = "{" + ", ".join(f"'{name}': {value!r}" for name, value in sizes.items()) + "}"
    op, reason = described(operation, cell, kernels, where="f:1")
    return op.key if op else reason


WINDOW = {"Input_shape": "30", "Input_channel": 8, "Output_shape": "14", "Stride": "2"}


def test_a_size_is_said_only_where_padding_was_an_operation_of_its_own():
    conv = {**WINDOW, "Kernel": "3", "Filter": "16", "Group": "1"}
    assert key("CONV_2D", **conv) == "conv|in=1x30x30x8|out=16|k=3|s=2|act=none|o=14x14|float32"
    conv["Output_shape"] = "15"
    assert key("CONV_2D", **conv) == "conv|in=1x30x30x8|out=16|k=3|s=2|act=none|float32"


def test_the_filters_of_a_depthwise_convolution_multiply_its_channels():
    found = key("DEPTHWISE_CONV_2D", **WINDOW, Kernel="3", Filter="2", Group="1")
    assert found == "dwconv|in=1x30x30x8|out=16|k=3|s=2|act=none|o=14x14|float32"


@pytest.mark.parametrize(("operands", "widest"), [("2", 24), ("3", 8)])
def test_the_input_of_a_concatenation_is_the_widest_that_is_known(operands, widest):
    sizes = {"Input_shape": "4", "Input_channel": 8, "Filter": "32", "Kernel": operands}
    assert key("CONCATENATION", **sizes) == f"concat|in=1x4x4x{widest}|out=32|n={operands}|float32"


@pytest.mark.parametrize(("operation", "mode"), [("MAX", "max"), ("AVERAGE", "avg")])
def test_pooling_says_which(operation, mode):
    found = key(f"{operation}_POOL_2D", **WINDOW, Kernel="3", Filter="-", Group="-")
    assert found == f"pool|in=1x30x30x8|k=3|s=2|op={mode}|o=14x14|float32"


@pytest.mark.parametrize(
    ("kernel", "fused"),
    [
        ("fully_connected_3", ""),
        ("fully_connected_3_linked_:_hard_swish_4", "|act=hswish"),
        ("fully_connected_3_linked_:_relu_4_linked_:_mul_5", "|act=relu|t=1"),
        ("fully_connected_3_linked_:_mul_4_linked_:_add_5", "|t=2"),
    ],
)
def test_the_tail_comes_from_the_kernels_name(kernel, fused):
    sizes = {"Input_shape": "-", "Input_channel": 8, "Filter": "4"}
    found = key("FULLY_CONNECTED", (kernel,), **sizes)
    assert found == f"linear|in=1x1x1x8|out=4{fused}|float32"


def test_an_operation_without_a_key_has_a_reason():
    assert key("SOFTMAX", Input_shape="-") == "operation SOFTMAX has no key"


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "9999999", "\u0662"])
def test_a_size_that_is_none_is_refused(value):
    with pytest.raises(DataError, match="f:1: Filter of FULLY_CONNECTED"):
        key("FULLY_CONNECTED", Input_channel=8, Filter=value)


@pytest.mark.parametrize(
    "cell", ["", "{}", "{'a': [1]}", "{'a': 1", "{1: 'a'}", "{'a': 1, 'a': 2}"]
)
def test_other_cells_are_refused(cell):
    with pytest.raises(DataError, match="f:1"):
        described("MEAN", cell, ("kernel",), where="f:1")
