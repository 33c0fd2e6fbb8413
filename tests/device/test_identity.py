import pytest

from hwnat.device.identity import contradiction, require_same
from hwnat.errors import UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Host


def spec(**keys):
    return DeviceSpec(name="mine", transport="adb", serial="auto", target="tflite", **keys)


def reports(board=None, soc=None):
    host = Host(cpu=None, cores=8, machine="aarch64", os=None, board=board, soc=soc)
    return Machine(host=host, conditions=Conditions(at="t"))


@pytest.mark.parametrize(
    ("keys", "reported"),
    [
        ({}, {"board": "Google Pixel 6"}),
        ({"board": "Google Pixel 6"}, {"board": "Google Pixel 6"}),
        ({"board": "pixel 6"}, {"board": "Google Pixel 6"}),
        ({"board": "Pixel 6"}, {}),
        ({"soc": "SM8550"}, {"board": "samsung SM-S911B", "soc": "QTI SM8550"}),
        ({"board": "Raspberry Pi 5 Model B*"}, {"board": "Raspberry Pi 5 Model B Rev 1.0"}),
    ],
)
def test_the_device_that_is_meant_is_accepted(keys, reported):
    assert contradiction(spec(**keys), reports(**reported)) is None
    require_same(spec(**keys), reports(**reported))


@pytest.mark.parametrize(
    ("keys", "reported"),
    [
        ({"board": "Pixel 6"}, {"board": "Google Pixel 6 Pro"}),
        ({"board": "Pixel 6"}, {"board": "Google Pixel 8"}),
        ({"board": "Pixel 8", "soc": "Tensor G3"}, {"board": "Google Pixel 8", "soc": "Google G4"}),
        ({"soc": "SM8550"}, {"soc": "QTI SM8650"}),
    ],
)
def test_another_model_is_refused_with_both_names(keys, reported):
    with pytest.raises(UsageError) as refused:
        require_same(spec(**keys), reports(**reported))
    words = str(refused.value)
    assert any(value in words for value in keys.values())
    assert any(value in words for value in reported.values())
    assert "hwnat device probe mine" in words
