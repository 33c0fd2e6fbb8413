import shutil
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.device.state import integer, parse_facts, parse_state
from hwnat.records.measurement import Conditions
from hwnat.transport.local import LocalTransport
from hwnat.transport.shell import program, script

SHELLS = ["dash", "bash", "mksh", "busybox ash"]


def lines(**facts):
    """Return what `state` prints: `lines(load="0.5")`; `_1` at the end of a name counts."""
    said = [(key.replace("_1", ".1").replace("_2", ".2"), value) for key, value in facts.items()]
    said.append(("end", str(len(said))))
    return "".join(f"{key}\t{value}\t{key}\t{value}\n" for key, value in said)


def read(**facts):
    return parse_state(lines(**facts), at="t")


#: A phone's answer, of the fixture; and what it means.
PHONE = lines(
    **{"governor.0": "schedutil", "clock.0": 1_803_000, "limit.0": 1_803_000},
    **{"clock.10": 2_850_000, "limit.10": 2_850_000, "clock.9": 2_348_000, "limit.9": 2_100_000},
    **{"zone.0": "cpu-0-0", "heat.0": 41_500, "zone.3": "skin-therm", "heat.3": 33_000},
    load="1.25",
    status=1,
    **{"reading.1": "{mValue=43.5, mType=0, mName=CPU0, mStatus=0}"},
    **{"reading.2": "{mValue=34.25, mType=3, mName=skin, mStatus=1}"},
    battery=84,
    battery_heat=301,
    wakefulness="Asleep",
    low_power=0,
)
MEANS = Conditions(
    at="t",
    governor="schedutil",
    clocks_hz=(1_803_000_000, 2_348_000_000, 2_850_000_000),
    temperature_c=43.5,
    load_1m=1.25,
    limits_hz=(1_803_000_000, 2_100_000_000, 2_850_000_000),
    thermal_status=1,
    skin_c=34.25,
    battery_percent=84,
    battery_c=30.1,
    low_power=False,
    awake=False,
)


def test_clusters_with_governors_of_their_own_tell_all_of_them():
    own = {"governor.0": "performance", "governor.1": "performance", "governor.4": "schedutil"}
    assert read(**own).governor == "performance,schedutil"


def test_what_is_no_heat_of_the_chip_is_not_the_hottest_zone():
    heat = {"zone.0": "cpu-0-0", "heat.0": 41_500, "zone.1": "socd", "heat.1": 97}
    assert read(**heat, zone_2="PMIC-Die", heat_2=60_000).temperature_c == 41.5


def test_a_phone_tells_its_state():
    assert parse_state(PHONE, at="t") == MEANS
    assert parse_state(PHONE.replace("\n", "\r\n"), at="t") == MEANS


@given(st.integers(0, len(PHONE) - 1))
def test_text_that_was_cut_says_nothing(at):
    found = parse_state(PHONE[:at], at="t")
    # Only the end of the last line may be missing.
    assert found in (Conditions(at="t"), MEANS)
    assert found == Conditions(at="t") or at >= len(PHONE) - 1


@given(st.characters(codec="utf-8") | st.sampled_from("019.eakt\t\n\r "))
@settings(max_examples=25)
def test_a_character_that_was_changed_is_seen(character):
    """Wherever it stands."""
    for at in range(len(PHONE)):
        damaged = PHONE[:at] + character + PHONE[at + 1 :]
        found = parse_state(damaged, at="t")
        assert found == Conditions(at="t") or found == MEANS, at


@given(st.integers(0, PHONE.count("\n") - 1), st.integers(0, PHONE.count("\n") - 1))
def test_lines_that_were_lost_or_moved_are_no_wrong_values(first, second):
    rows = PHONE.splitlines(keepends=True)
    rows[first], rows[second] = rows[second], rows[first]
    assert parse_state("".join(rows), at="t") in (Conditions(at="t"), MEANS)
    del rows[first]
    assert parse_state("".join(rows), at="t") == Conditions(at="t")


@given(st.text() | st.lists(st.text(), max_size=4).map("\t".join))
def test_garbage_says_nothing(text):
    assert parse_state(text, at="t") == Conditions(at="t")


@given(st.dictionaries(st.sampled_from(sorted(parse_facts(PHONE))), st.text()))
def test_odd_values_are_left_out_without_an_error(facts):
    found = parse_state(lines(**facts), at="t")
    assert found.thermal_status in (None, *range(7))
    assert all(each > 0 for each in (*found.clocks_hz, *found.limits_hz))


@pytest.mark.parametrize(
    ("name", "heat", "expected"),
    [
        ("cpu-thermal", "41500", 41.5),
        ("cpu-thermal", "45", 45.0),
        ("cpu-thermal", "412", None),
        ("cpu-thermal", "0", None),
        ("cpu-thermal", "-274000", None),
        ("cpu-thermal", "999000", None),
        ("cpu-thermal", "broken", None),
        ("soc", "97", None),
        ("socd", "100", None),
        ("SOCD", "100", None),
        ("pmic-die", "61000", None),
        ("PMIC-Die", "61000", None),
        ("pm8150-vbat-lvl0", "4000", None),
        ("soc-thermal", "50000", 50.0),
    ],
)
def test_zones_count_in_thousandths_or_in_degrees(name, heat, expected):
    found = parse_state(lines(zone_1=name, heat_1=heat), at="t")
    assert found.temperature_c == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"status": "7"}, {}),
        ({"status": "3"}, {"thermal_status": 3}),
        ({"battery": "101"}, {}),
        ({"low_power": "null"}, {}),
        ({"low_power": "1"}, {"low_power": True}),
        ({"wakefulness": "Dreaming"}, {"awake": True}),
        ({"wakefulness": "Dozing"}, {"awake": False}),
        ({"wakefulness": "Sleepwalking"}, {}),
        ({"reading_1": "{mValue=NaN, mType=3, mName=skin, mStatus=0}"}, {}),
        ({"reading_1": "{mValue=0.0, mType=3, mName=skin, mStatus=0}"}, {}),
        ({"reading_1": "{mValue=24.0, mType=2, mName=battery, mStatus=0}"}, {}),
        ({"quota_1": "25000 100000", "stopped_us_1": "7"}, {"cpu_quota": 0.25, "stopped_ns": 7000}),
        (
            {"quota_1": "400000 100000", "quota_2": "150000 100000", "stopped_ns_2": "1676043081"},
            {"cpu_quota": 1.5, "stopped_ns": 1676043081},
        ),
        ({"quota_1": "max 100000"}, {}),
        ({"quota_1": "25000 0"}, {}),
        ({"stopped_ns_1": "-1"}, {}),
        ({"load": "nan"}, {}),
        ({"load": "1e9"}, {}),
    ],
)
def test_what_is_not_known_is_none(facts, expected):
    assert read(**facts) == replace(Conditions(at="t"), **expected)


def test_integers_are_plain_and_within_bounds():
    assert integer("12", low=0, high=12) == 12
    for odd in (None, "", "13", "-1", "+3", "1_2", " 3", "٣", "9" * 40, "1.0"):
        assert integer(odd, low=0, high=12) is None


def test_the_first_of_two_values_counts():
    """A phone with two displays prints its wakefulness for each."""
    one, two = (f"wakefulness\t{each}\t" * 2 for each in ("Awake", "Asleep"))
    text = f"{one.strip()}\n{two.strip()}\nend\t2\tend\t2\n"
    assert parse_facts(text) == {"wakefulness": "Awake"}


@pytest.mark.parametrize("shell", SHELLS)
def test_this_machine_tells_its_state_in_each_shell(shell):
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"no {shell} on this machine")
    argv = [
        *shell.split(),
        "-c",
        f'{program("device/state")}\nbefore=$-$IFS; state; [ "$before" = "$-$IFS" ]',
    ]
    done = LocalTransport().run(argv, timeout_s=20).check()
    assert parse_state(done.stdout, at="t").load_1m >= 0
    assert done.stderr == ""


def test_a_phone_says_what_is_set_and_keeps_the_rest_to_itself(android_phone):
    state, link = android_phone.state, android_phone.link()
    state.set(
        skin_mc=36_400, cpu_mc=61_000, thermal_status=2, battery_percent=41, battery_mc=33_100
    )
    state.setting("low_power", 1)
    state.load(3.25)
    done = link.run(script("device/read_state"), timeout_s=20)
    found = parse_state(done.stdout, at="t")
    assert (found.skin_c, found.temperature_c, found.thermal_status) == (36.4, 61.0, 2)
    assert (found.battery_percent, found.battery_c, found.low_power) == (41, 33.1, True)
    assert (found.load_1m, found.awake, found.governor) == (3.25, True, "schedutil")
    # Battery saver holds clocks down.
    assert max(found.limits_hz) < 2_850_000_000
    state.set(hal_ready=0)
    quiet = parse_state(link.run(script("device/read_state"), timeout_s=20).stdout, at="t")
    assert quiet.skin_c is None


def test_reading_the_state_of_a_board_starts_no_program(linux_board):
    """It runs before and after every visit, and must not warm caches or cores."""
    text = f"{program('device/state')}\nPATH=/nowhere; state"
    done = linux_board.link().run(["sh", "-c", text], timeout_s=20)
    found = parse_state(done.stdout, at="t")
    assert found.clocks_hz == (1_500_000_000,) * 4
    assert found.temperature_c == 31.0
    assert done.stderr == ""
