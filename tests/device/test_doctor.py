from dataclasses import replace

import pytest

from hwnat.device.doctor import doubts
from hwnat.records.device import DeviceSpec, Gate
from hwnat.records.machine import Cluster, Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.transport.base import Probe

STATE = Conditions(
    at="t",
    governor="schedutil",
    clocks_hz=(1_000_000_000,) * 6,
    limits_hz=(1_800_000_000,) * 4 + (2_800_000_000,) * 2,
    temperature_c=40.0,
    load_1m=0.5,
    thermal_status=0,
    battery_percent=90,
    low_power=False,
)
PHONE = Machine(
    host=Host(cpu=None, cores=6, machine="aarch64", os=None),
    conditions=STATE,
    clusters=(
        Cluster(cores=(0, 1, 2, 3), max_hz=1_800_000_000),
        Cluster(cores=(4, 5), max_hz=2_800_000_000),
    ),
    android_api=34,
)
SPEC = DeviceSpec(name="d", transport="adb", serial="R58M12ABCDE", target="tflite")
REACHED = Probe(
    address="adb R58M12ABCDE",
    client="adb 1",
    workdir="/data/local/tmp/hwnat",
    executable=True,
    hash="sha256",
    time_limit=True,
    free_bytes=1 << 33,
)
BOARD = replace(PHONE, android_api=None, root=True)


def test_a_fit_phone_raises_no_doubt():
    assert doubts(SPEC, PHONE, REACHED) == ()


def state(**changes):
    return replace(PHONE, conditions=replace(STATE, **changes))


@pytest.mark.parametrize(
    ("spec", "machine", "reached", "words"),
    [
        ({}, state(low_power=True), {}, "Not now: it saves power"),
        ({"gate": Gate(temperature_c=39)}, PHONE, {}, "Not now: the hottest thermal zone is 40.0"),
        ({}, PHONE, {"executable": False}, "No program starts in /data/local/tmp/hwnat"),
        ({}, PHONE, {"hash": None}, "neither sha256sum nor md5sum"),
        ({}, PHONE, {"time_limit": False}, "It has no `timeout`"),
        ({}, PHONE, {"free_bytes": 100 << 20}, "has 100 MiB left: free 500 MiB there."),
        ({}, replace(PHONE, android_api=28), {}, "Android API 28 has no fixed-performance mode"),
        ({"clocks": "free"}, PHONE, {}, 'set clocks = "fixed"'),
        ({"governor": "performance"}, PHONE, {}, "Only root may set governor"),
        ({}, state(governor="powersave"), {}, "measured at the slowest clock"),
        ({}, state(clocks_hz=()), {}, "Clocks cannot be read"),
        ({}, state(temperature_c=None, thermal_status=None), {}, "It reports no temperature"),
        (
            {},
            state(limits_hz=(1_800_000_000,) * 4 + (2_000_000_000,) * 2),
            {},
            "limited to 2000 of 2800 MHz",
        ),
        ({"threads": 6}, PHONE, {}, "6 threads run on cores of different speed"),
        ({"threads": 2, "affinity": (5,)}, PHONE, {}, "2 threads share 1 cores"),
        ({"affinity": (3, 5)}, PHONE, {}, "cores of different speed (clusters of 2, 4)"),
        ({"affinity": (9,)}, PHONE, {}, "Cores [9] are not available"),
        ({}, replace(PHONE, clusters=()), {}, "It does not report its cores"),
        ({}, PHONE, {"address": "adb 192.168.1.5:5555"}, "on the network, not on a cable"),
        ({}, PHONE, {"address": "adb adb-R5-x7._adb-tls-connect._tcp"}, "on the network"),
        (
            {},
            replace(BOARD, conditions=replace(STATE, governor="performance,schedutil")),
            {},
            "Governor 'schedutil' follows the load",
        ),
        ({}, BOARD, {}, 'set governor = "performance" in the device file'),
        ({}, replace(BOARD, root=False), {}, "Governor 'schedutil' follows the load"),
    ],
)
def test_each_doubt_comes_with_what_to_do(spec, machine, reached, words):
    found = doubts(replace(SPEC, **spec), machine, replace(REACHED, **reached))
    assert any(words in each for each in found), found
    assert all(each.endswith((".", "]")) for each in found)
    assert len(found) == 1


def test_a_board_with_a_governor_in_its_file_is_fit():
    assert doubts(replace(SPEC, governor="performance"), BOARD, REACHED) == ()
