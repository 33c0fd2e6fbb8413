import json

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.space import MBV3_NANO
from hwnat.table.importers.base import Request, Source
from hwnat.table.importers.intake import Intake
from hwnat.table.subject import Subject

GENOME = MBV3_NANO.encode(MBV3_NANO.smallest())


@pytest.fixture
def saved(a_table, tmp_path):
    path = tmp_path / "table.json"
    a_table(resolutions=(24,)).save(path)
    return path


def test_a_sound_file_is_loaded(saved):
    subject = Subject.of_file(saved)
    assert subject.findings == ()
    assert subject.device == "host-onnx"
    assert subject.space == ("mbv3-nano", 10, (24,), 1)
    assert subject.uncovered() == ()


@pytest.mark.parametrize("value", [0, -1, float("nan"), "x"])
def test_a_table_that_cannot_be_loaded_names_the_entries_that_keep_it(saved, value):
    content = json.loads(saved.read_text())
    key = sorted(content["entries"])[3]
    content["entries"][key]["p50_ns"] = value
    saved.write_text(json.dumps(content))
    subject = Subject.of_file(saved)
    assert [(each.rule, each.key) for each in subject.findings] == [
        ("not-measured", key),
        ("not-loaded", ""),
    ]
    assert subject.entries == {}


@pytest.mark.parametrize(("other", "rule"), [("1", "repeated-key"), ("2", "conflicting-values")])
def test_a_key_that_stands_there_twice_is_named(saved, other, rule):
    lines = saved.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith('  "mbconv'))
    again = lines[at] if other == "1" else lines[at].replace('"n": 40', '"n": 41')
    saved.write_text("\n".join([*lines[: at + 1], again, *lines[at + 1 :]]))
    first = Subject.of_file(saved).findings[0]
    assert (first.rule, first.severity) == (rule, "error")
    assert first.key.startswith("mbconv|")


def test_other_damage_stays_an_error(saved):
    saved.write_text(saved.read_text()[:-40])
    with pytest.raises(DataError):
        Subject.of_file(saved)
    saved.write_text(json.dumps({"schema": 2}))
    with pytest.raises(DataError):
        Subject.of_file(saved)


def test_published_networks_are_added(saved):
    subject = Subject.of_file(saved).with_networks([(GENOME, 5_000), (GENOME, None)])
    assert [net.measured_ns for net in subject.networks] == [5_000]
    assert [net.name for net in subject.named] == [GENOME]


def test_a_network_needs_a_space():
    with pytest.raises(UsageError, match="not a table of a space"):
        Subject(name="t", device="d", entries={}).with_networks([(GENOME, None)])


def test_resolutions_that_the_space_does_not_list_are_covered(a_table):
    subject = Subject.of_table(a_table(resolutions=(24,)), name="t")
    larger = Subject(
        name="t", device="d", entries=subject.entries, space=("mbv3-nano", 10, (48,), 1)
    )
    assert any("in=1x48x48x3" in key for key in larger.uncovered())


def test_keys_without_an_operation_are_passed_over(an_entry):
    subject = Subject(name="t", device="d", entries={"odd": an_entry(5)})
    assert subject.ops == {}


def test_what_an_import_left_out_is_kept():
    request = Request(device="phone", lenient=True)
    intake = Intake(request, name="f", unit="ms", sources=[Source.of("a.csv", b"x")])
    intake.leave_out("PAD", "why")
    subject = Subject.of_imported(intake.done(granularity="block", space=("mbv3-nano", 10, (24,))))
    assert subject.unmapped == {"PAD": "why"}
    assert (subject.name, subject.device) == ("a.csv", "phone")
    assert subject.space == ("mbv3-nano", 10, (24,), 1)
