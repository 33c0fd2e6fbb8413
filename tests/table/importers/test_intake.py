import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Request, Source
from hwnat.table.importers.intake import MOST_ROWS, Intake

OP = OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10)


@pytest.fixture
def an_intake():
    """Build an `Intake`: `an_intake(lenient=True)`."""

    def build(**changes):
        request = Request(device="phone", **changes)
        return Intake(request, name="f", unit="ms", sources=[Source.of("a.csv", b"x")])

    return build


def test_a_mean_with_a_deviation_becomes_an_entry_with_an_interval(an_intake):
    intake = an_intake()
    intake.add(OP, "2.0", foreign="fc", where="a.csv:1", std="0.1", n="50")
    entry = intake.done(granularity="operator").entries[OP.key]
    assert (entry.p50_ns, entry.low_ns, entry.high_ns) == (2_000_000, 1_835_500, 2_164_500)
    assert (entry.p10_ns, entry.p90_ns) == (entry.low_ns, entry.high_ns)
    assert (entry.n, entry.spread) == (50, 0.0674)


def test_a_file_without_deviations_gives_an_interval_without_width(an_intake):
    intake = an_intake()
    intake.add(OP, 2.0, foreign="fc", where="a.csv:1")
    entry = intake.done(granularity="operator").entries[OP.key]
    assert entry.low_ns == entry.p50_ns == entry.high_ns


def test_another_unit_can_be_asked_for(an_intake):
    intake = an_intake(unit="us")
    intake.add(OP, 2, foreign="fc", where="a.csv:1")
    imported = intake.done(granularity="operator")
    assert imported.entries[OP.key].p50_ns == 2_000
    assert imported.unit == "us"


def test_a_key_with_two_values_is_refused_naming_both_places(an_intake):
    intake = an_intake()
    intake.add(OP, 2, foreign="fc", where="a.csv:1")
    with pytest.raises(DataError, match=r"a\.csv:7: linear.*at a\.csv:1: 2 and 3 ms"):
        intake.add(OP, 3, foreign="fc", where="a.csv:7")


def test_lint_keeps_the_first_of_two_values_and_reports(an_intake):
    intake = an_intake(lenient=True)
    for value in (2, 3):
        intake.add(OP, value, foreign="fc", where=f"a.csv:{value}")
    imported = intake.done(granularity="operator")
    assert imported.entries[OP.key].p50_ns == 2_000_000
    (found,) = imported.findings
    assert (found.rule, found.severity, found.key) == ("conflicting-values", "error", OP.key)
    assert str(found).startswith(f"a.csv:3: {OP.key}: ")


def test_a_key_twice_with_one_value_is_kept_and_reported(an_intake):
    intake = an_intake()
    for line in (1, 2):
        intake.add(OP, 2, foreign="fc", where=f"a.csv:{line}")
    (found,) = intake.done(granularity="operator").findings
    assert (found.rule, found.severity) == ("repeated-key", "warning")


def test_repeats_give_their_median_and_spread(an_intake):
    intake = an_intake()
    for value in (1, 2, 6):
        intake.add_repeat(OP, value, foreign="fc", where=f"a.csv:{value}", n=10)
    imported = intake.done(granularity="operator")
    entry = imported.entries[OP.key]
    assert (entry.p50_ns, entry.n) == (2_000_000, 30)
    assert entry.low_ns == 1
    assert 5_000_000 < entry.high_ns < 6_000_000
    assert imported.places[OP.key] == "a.csv:1"


@pytest.mark.parametrize("n", [0, -3, 1.5, "x"])
def test_a_count_that_is_none_is_refused(an_intake, n):
    with pytest.raises(DataError, match=r"a\.csv:1: fc"):
        an_intake().add(OP, 2, foreign="fc", where="a.csv:1", n=n)


@pytest.mark.parametrize("std", [-0.1, "nan", float("inf")])
def test_a_deviation_that_is_none_is_refused(an_intake, std):
    with pytest.raises(DataError, match=r"a\.csv:1: fc: std"):
        an_intake().add(OP, 2, foreign="fc", where="a.csv:1", std=std)


def test_what_is_left_out_keeps_its_first_reason(an_intake):
    intake = an_intake(lenient=True)
    intake.leave_out("PAD", "first")
    intake.leave_out("PAD", "second")
    assert intake.done(granularity="operator").unmapped == {"PAD": "first"}


def test_an_error_stops_a_strict_import_and_not_lint(an_intake):
    words = {"where": "a.csv", "key": "", "message": "odd"}
    with pytest.raises(DataError, match=r"^a\.csv: odd$"):
        an_intake().find("some-rule", "error", **words)
    an_intake().find("some-rule", "warning", **words)
    an_intake(lenient=True).find("some-rule", "error", **words)


def test_an_option_may_have_a_default(an_intake):
    assert an_intake(options={"a": "1"}).option("a") == "1"
    assert an_intake().option("a", "2") == "2"
    with pytest.raises(UsageError, match="--option a="):
        an_intake().option("a")


@pytest.mark.parametrize("std", ["1e308", 1e308, "-1", 5_000_000])
def test_a_deviation_beyond_an_hour_or_below_zero_is_refused(an_intake, std):
    with pytest.raises(DataError, match=r"^a\.csv:1: k: std: .* is not between 0 and 1 hour"):
        an_intake().add(OP, 1.0, foreign="k", where="a.csv:1", std=std)


def test_the_rows_of_one_import_are_limited(an_intake):
    intake = an_intake()
    for index in range(MOST_ROWS):
        intake.leave_out(f"k{index % 9}", "no key")
    with pytest.raises(DataError, match=r"^a\.csv: over 50,000 rows, the limit"):
        intake.leave_out("k", "no key")
