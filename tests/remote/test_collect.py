"""The times of a visit, from the clock of the device and the clock of this machine."""

from datetime import UTC, datetime, timedelta

import pytest

from hwnat.remote.collect import Seen, _times
from hwnat.remote.results import ProcessEnd, Result

#: Times are written in whole milliseconds.
TICK = timedelta(milliseconds=1)


def times(*, boot, up_s, ended_up_s, seen_up_s=160):
    """Return the start and the end of a visit, and the times just before and after the call."""
    result = Result(
        job="0" * 24,
        digest="",
        round=0,
        subject="model",
        boot=boot,
        up_s=up_s,
        ended_up_s=ended_up_s,
        before="",
        after="",
        parts=(ProcessEnd(status=0, output=""),),
    )
    seen = Seen(
        boot="boot-2",
        up_s=seen_up_s,
        lives=False,
        status="done",
        free_kib=None,
        files=(),
        more=False,
    )
    earliest = datetime.now(UTC) - TICK
    started, ended = map(datetime.fromisoformat, _times(result, seen))
    return started, ended, earliest, datetime.now(UTC)


def test_the_times_of_a_visit_are_counted_back_from_now():
    started, ended, earliest, latest = times(boot="boot-2", up_s=100, ended_up_s=115)
    assert ended - started == timedelta(seconds=15)
    assert earliest <= started + timedelta(seconds=60) <= latest


@pytest.mark.parametrize(
    "clocks",
    [
        {"boot": "boot-1", "up_s": 100, "ended_up_s": 115},
        {"boot": "boot-2", "up_s": None, "ended_up_s": None},
        {"boot": "boot-2", "up_s": 100, "ended_up_s": 115, "seen_up_s": None},
        {"boot": "boot-2", "up_s": 500, "ended_up_s": 515},
    ],
)
def test_a_visit_without_a_usable_clock_is_dated_now(clocks):
    started, ended, earliest, latest = times(**clocks)
    assert earliest <= started == ended <= latest
