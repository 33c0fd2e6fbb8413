"""The estimate in what Arm's compiler Vela prints."""

from importlib.util import find_spec

import pytest

from hwnat.errors import DataError, DeviceError
from hwnat.records.device import load_device
from hwnat.targets.base import get_target
from hwnat.targets.tflite.file import FileBuilder
from hwnat.targets.tflite.vela import read_latency_ns
from hwnat.transport.local import LocalTransport

CPU_LINES = "".join(f"   CPU: Passthrough = mean_{i} (outputs [1, 1, 1, 64])\n" for i in range(7))


@pytest.fixture
def text(runtime_logs):
    """Return the output for a network that is all on the NPU."""
    some = (runtime_logs / "vela.txt").read_text()
    return some.replace("= 2 (12.5%)", "= 0 (0.0%)").replace("= 14 (87.5%)", "= 16 (100.0%)")


def test_cycles_and_clock_give_the_latency(text):
    assert read_latency_ns(text, where="net") == 50_000


def test_operators_on_the_cpu_are_named(runtime_logs):
    text = (runtime_logs / "vela.txt").read_text()
    with pytest.raises(DeviceError, match="net: 2 operators fall back to the CPU, so"):
        read_latency_ns(text, where="net")
    some = text.replace("(12.5%)\n", "(12.5%)\n" + CPU_LINES)
    with pytest.raises(DeviceError, match=r"net: 7 operators .*mean_0, .*mean_4\) and 2 more"):
        read_latency_ns(some, where="net")


def test_a_network_that_is_all_on_the_cpu_has_no_estimate(runtime_logs):
    text = (runtime_logs / "vela_cpu.txt").read_text()
    with pytest.raises(DeviceError, match=r"net: all 4 operators fall back"):
        read_latency_ns(text, where="net")
    with pytest.raises(DeviceError, match=r"all 7 operators.*mean_0"):
        read_latency_ns(text.replace("(100.0%)\n", "(100.0%)\n" + CPU_LINES), where="net")


def test_a_text_cut_anywhere_gives_no_estimate(text):
    last = text.index("Batch Inference time")
    for end in range(last + len("Batch Inference time")):
        with pytest.raises(DataError, match=r"^net: "):
            read_latency_ns(text[:end], where="net")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("50000 cycles/batch", "60000 cycles/batch"),
        ("50000 cycles/batch", "0 cycles/batch"),
        ("50000 cycles/batch", "9" * 5_000 + " cycles/batch"),
        ("1000 MHz", "500 MHz"),
        ("1000 MHz", "0 MHz"),
        ("0.05 ms", "0.15 ms"),
        ("0.05 ms", "nan ms"),
        ("CPU operators = 0", "CPU operators = "),
        ("\nTotal cycles", "\nTotal cycles   7 cycles/batch\nTotal cycles"),
    ],
)
def test_values_that_contradict_each_other_are_refused(text, old, new):
    assert old in text
    with pytest.raises(DataError, match=r"^net: "):
        read_latency_ns(text.replace(old, new), where="net")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ethosu") is None, reason="no Vela; pip install hwnat[ethosu]")
@pytest.mark.parametrize("before", [True, False], ids=["some", "all"])
def test_vela_says_which_operators_fall_back(before, tmp_path):
    builder, path = FileBuilder({"MUL": 2}), tmp_path / "net.tflite"
    x = y = builder.tensor((1, 4, 4, 8), "input")
    if before:
        y = builder.add("MUL", [x, x], (1, 4, 4, 8), "MulOptions")
    z = builder.add("L2_NORMALIZATION", [y], (1, 4, 4, 8), "L2NormOptions")
    for each in {x, y, z}:
        builder.quantise(each, 0.05)
    path.write_bytes(builder.finish([x], [z]))
    npu = load_device("ethos-u55-128").npu
    text = get_target("ethosu").estimate(path, npu, link=LocalTransport())
    with pytest.raises(DeviceError, match=r"net: (1|all 1) operators .*l2_normalization_"):
        read_latency_ns(text, where="net")
