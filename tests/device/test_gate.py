import re

import pytest

from hwnat.device.gate import refusals, wait_until_ready
from hwnat.errors import DeviceError
from hwnat.records.device import Gate
from hwnat.records.measurement import Conditions

COOL = {
    "thermal_status": 0,
    "temperature_c": 45.0,
    "skin_c": 30.0,
    "battery_percent": 80,
    "battery_c": 28.0,
    "low_power": False,
    "load_1m": 1.5,
}
CASES = [
    ({"thermal_status": 1}, "thermal status is 1 (light), the gate allows at most 0"),
    ({"temperature_c": 70.0}, "the hottest thermal zone is 70.0 °C, the gate requires under 70:"),
    ({"skin_c": 38.2}, "skin is 38.2 °C, the gate requires under 35: let it cool, screen off"),
    ({"battery_percent": 29}, "the battery holds 29 %, the gate requires at least 30: charge it"),
    ({"battery_c": 41.0}, "the battery is 41.0 °C, the gate requires under 37"),
    ({"low_power": True}, "it saves power: turn off battery saver"),
    ({"load_1m": 21.1}, "load is 21.1, the gate allows at most 20 beside hwnat's own 1"),
]


def state(**changes):
    return Conditions(at="t", **{**COOL, **changes})


class Watch:
    """A clock that moves when somebody sleeps."""

    def __init__(self):
        self.now_s, self.slept = 0.0, []

    def __call__(self):
        return self.now_s

    def pause(self, seconds):
        self.now_s += seconds
        self.slept.append(seconds)


def wait(states, gate=None, cores=1):
    """Wait for a device that is in these states, the last one for ever."""
    watch, told, left = Watch(), [], list(states)
    wait_until_ready(
        lambda: left.pop(0) if len(left) > 1 else left[0],
        gate or Gate(),
        cores=cores,
        tell=told.append,
        pause=watch.pause,
        clock=watch,
    )
    return watch.slept, told


def test_a_cool_device_is_let_through():
    assert refusals(state(), Gate(), cores=1) == ()


def test_what_a_device_does_not_tell_is_not_asked_of_it():
    assert refusals(Conditions(at="t"), Gate(), cores=1) == ()


@pytest.mark.parametrize(("change", "words"), CASES)
def test_each_refusal_says_what_is_wrong_and_what_to_do(change, words):
    (found,) = refusals(state(**change), Gate(), cores=1)
    assert found.startswith(words)
    assert ": " in found


def test_all_refusals_come_together():
    changes = {key: value for change, _ in CASES for key, value in change.items()}
    assert len(refusals(state(**changes), Gate(), cores=1)) == len(CASES)


def test_a_gate_can_be_opened_wider():
    gate = Gate(thermal_status=6, temperature_c=99, skin_c=99, battery_percent=0, battery_c=99)
    changes = {key: value for change, _ in CASES[:5] for key, value in change.items()}
    assert refusals(state(**changes), gate, cores=1) == ()


def test_load_of_its_own_does_not_count():
    linux = {"thermal_status": None}
    assert refusals(state(load_1m=6.0, **linux), Gate(), cores=4) == ()
    assert refusals(state(load_1m=6.1, **linux), Gate(), cores=4) != ()


def test_android_counts_drivers_that_sleep_as_load():
    assert refusals(state(load_1m=12.0), Gate(), cores=1) == ()
    assert refusals(state(load_1m=12.0), Gate(load=2.0), cores=1) != ()


def test_nobody_waits_for_a_cool_device():
    assert wait([state()]) == ([], [])


def test_a_warm_device_is_waited_for_in_steps_and_told_once():
    warm = [state(skin_c=36.0), state(skin_c=35.5), state(skin_c=34.9)]
    slept, told = wait(warm)
    assert slept == [10.0, 10.0]
    assert told == [
        "Waiting up to 600 s: skin is 36.0 °C, the gate requires under 35: let it cool, screen off."
    ]


def test_what_comes_to_be_in_the_way_later_is_told():
    told = wait([state(skin_c=36.0), state(battery_percent=3), state()])[1]
    assert len(told) == 2
    assert "590 s: the battery holds 3 %" in told[1]


def test_a_device_that_stays_hot_is_given_up_after_the_time_of_its_gate():
    with pytest.raises(DeviceError) as refused:
        wait([state(skin_c=39.0, low_power=True)], Gate(wait_s=25.0))
    words = str(refused.value)
    assert "not ready to measure within 25 s" in words
    assert "skin is 39.0 °C" in words
    assert "battery saver" in words
    assert re.search(r"run the same command again, or relax \[gate\]", words)


def test_a_gate_without_patience_refuses_at_once():
    with pytest.raises(DeviceError, match="within 0 s"):
        wait([state(low_power=True)], Gate(wait_s=0.0))
