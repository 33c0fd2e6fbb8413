import pytest

from hwnat.errors import DataError, TableMismatchError, UsageError
from hwnat.table.importers.assemble import to_table
from hwnat.table.importers.base import Facts, Imported, Request, Source
from hwnat.table.importers.intake import Intake
from hwnat.table.lookup import load_table

LINEAR = "linear|in=1x1x1x64|out=10|float32"
NOW = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def imported(an_entry):
    """Build an `Imported`: `imported({key: ns}, space=…)`."""

    def build(latencies=None, **changes):
        latencies = {LINEAR: 900} if latencies is None else latencies
        default = {
            "format": "some-format",
            "device": "phone",
            "unit": "ms",
            "sources": (Source.of("folder/file.csv", b"x"),),
            "granularity": "operator",
            "entries": {k: an_entry(ns, provenance="imported") for k, ns in latencies.items()},
            "places": dict.fromkeys(latencies, "file.csv:1"),
            "unmapped": {"what": "why"},
            "findings": (),
        }
        return Imported(**{**default, **changes})

    return build


def test_a_table_says_what_is_known_and_leaves_the_rest_empty(imported, tmp_path):
    table = to_table(imported(), created=NOW)
    assert table.entries[LINEAR].p50_ns == 900
    setup = table.setup
    assert (setup.device, setup.precision, setup.batch) == ("phone", "fp32", 1)
    assert (setup.threads, setup.runs, setup.runtime) == (0, 0, "")
    assert (table.space, table.classes, table.protocol, table.reference_ns) == (None,) * 4
    assert table.origin.left_out == {"what": "why"}
    assert table.origin.unit == "ms"
    assert list(table.origin.files) == ["file.csv"]
    table.save(tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == table
    with pytest.raises(TableMismatchError, match="not measured by hwnat"):
        table.timed_as()


def test_files_of_one_name_are_told_apart_by_their_folders(imported):
    sources = tuple(Source.of(f"{folder}/t.yaml", folder.encode()) for folder in "ab")
    origin = to_table(imported(sources=sources), created=NOW).origin
    assert list(origin.files) == ["a/t.yaml", "b/t.yaml"]


def test_what_the_user_says_wins_over_the_format(imported):
    said = Facts(target="tflite", threads=4)
    table = to_table(imported(facts=said), facts=Facts(threads=1, runtime="gpu"), created=NOW)
    assert (table.setup.target, table.setup.threads) == ("tflite", 1)
    assert table.setup.runtime == "gpu"
    assert table.name == "phone/tflite-fp32-operators"


def test_a_space_is_passed_on(imported):
    entries = imported(space="mbv3-nano", classes=10, resolutions=(24,), granularity="block")
    table = to_table(entries, created=NOW)
    assert (*table.of_space(), table.resolutions) == ("mbv3-nano", 10, (24,))
    assert table.granularity == "block"


def test_keys_of_two_batches_or_precisions_give_no_table(imported):
    for other, what in (("linear|in=2x1x1x64|out=10", "batch"), (LINEAR[:-8], "precision")):
        dtype = "|float32" if what == "batch" else "|int8"
        entries = imported({LINEAR: 900, other.rstrip("|") + dtype: 900})
        with pytest.raises(DataError, match=f"a table has one {what}"):
            to_table(entries, created=NOW)


def test_what_is_stated_must_be_what_the_keys_say(imported):
    for facts in (Facts(precision="int8"), Facts(batch=8)):
        with pytest.raises(DataError, match=r"not (int8|8) as stated"):
            to_table(imported(), facts=facts, created=NOW)


def test_nothing_gives_no_table(imported):
    with pytest.raises(DataError, match=r"file\.csv: nothing in it becomes an entry"):
        to_table(imported({}), created=NOW)


def test_a_space_needs_its_classes(imported):
    with pytest.raises(DataError, match="its classes"):
        imported(space="mbv3-nano")


def test_an_import_is_marked_as_one(imported, an_entry):
    with pytest.raises(DataError, match="not marked as imported"):
        imported(entries={LINEAR: an_entry(900)})


@pytest.mark.parametrize("device", ["", " ", "a/b"])
def test_a_device_has_a_name(device):
    with pytest.raises(UsageError, match="--device"):
        Request(device=device)


def test_no_thread_is_not_a_fact():
    with pytest.raises(UsageError, match="at least 1"):
        Facts(threads=0)


def test_an_empty_intake_names_a_reason():
    request = Request(device="phone")
    intake = Intake(request, name="f", unit="ms", sources=[Source.of("a.csv", b"")])
    intake.leave_out("TRANSPOSE", "no such kind")
    with pytest.raises(DataError, match=r"a\.csv: nothing in it .*TRANSPOSE: no such kind"):
        intake.done(granularity="operator")
