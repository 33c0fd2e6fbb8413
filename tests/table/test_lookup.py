import hashlib
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, HwnatError, TableMismatchError, UncoveredOpError, UsageError
from hwnat.records.grid import distinct_ops
from hwnat.records.measurement import Conditions
from hwnat.records.space import MBV3_NANO
from hwnat.table.calibrate import Calibration
from hwnat.table.entry import Entry, Origin, interval_ns
from hwnat.table.lookup import LatencyTable, default_path, load_table

entries = st.builds(
    lambda low, more, most, n, spread: Entry(
        p10_ns=low,
        p50_ns=low + more,
        p90_ns=low + more + most,
        low_ns=low,
        high_ns=low + more + most,
        n=n,
        spread=spread,
    ),
    st.integers(1, 10**11),
    st.integers(0, 10**11),
    st.integers(0, 10**11),
    st.integers(1, 10**6),
    st.floats(0, 1e6),
)


@pytest.fixture
def saved(a_table, tmp_path):
    path = tmp_path / "table.json"
    table = a_table(resolutions=(24,))
    table.save(path)
    return table, path


KEYS = [op.key for op in distinct_ops(MBV3_NANO, (24,), classes=10)]


@given(
    entries=st.dictionaries(st.sampled_from(KEYS), entries, min_size=1, max_size=8),
    scale=st.floats(0.01, 100),
    load=st.none() | st.floats(0, 1e3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_comes_back_as_it_was_saved(tmp_path_factory, a_table, entries, scale, load):
    table = a_table(
        entries=entries,
        calibration=Calibration(form="scale", scale=scale),
        conditions=(Conditions(at="t", load_1m=load), None),
    )
    path = tmp_path_factory.mktemp("t") / "table.json"
    table.save(path)
    loaded = load_table(path)
    assert loaded == table
    assert loaded.table_id == table.table_id
    assert loaded.text == path.read_text()


def test_every_entry_has_a_line_of_its_own_and_keys_are_sorted(saved):
    table, path = saved
    lines = path.read_text().splitlines()
    keys = [match[1] for line in lines if (match := re.match(r'  "(.*?)": \{"high_ns"', line))]
    assert keys == sorted(table.entries)


def test_a_changed_entry_changes_one_line_of_the_entries_and_the_id(saved):
    table, path = saved
    key = sorted(table.entries)[3]
    changed = replace(table, entries={**table.entries, key: replace(table.entries[key], n=41)})
    before, after = path.read_text().splitlines(), changed.text.splitlines()
    differing = [old for old, new in zip(before, after, strict=True) if old != new]
    assert len(differing) == 2
    assert "table_id" in differing[1]


def test_a_truncated_file_is_refused_wherever_it_ends(saved):
    _, path = saved
    text = path.read_text()
    for end in range(0, len(text.rstrip()), 997):
        path.write_text(text[:end])
        with pytest.raises(DataError, match=re.escape(str(path))):
            load_table(path)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def first(content):
    return content["entries"][min(content["entries"])]


#: A network whose prediction is exact.
CHECK = {
    "genome": "01011001100110011001100",
    "sum_ns": 9,
    "ops": 1,
    "measured_ns": 9,
    "predicted_ns": 9.0,
    "error": 0.0,
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.update(schema=3), TableMismatchError, "schema 3; this hwnat reads 2"),
        (lambda c: c.pop("schema"), DataError, "not a latency table"),
        (lambda c: c.update(surprise=1), DataError, "unknown key 'surprise'"),
        (lambda c: c.pop("space"), DataError, "key 'space' is missing"),
        (lambda c: c.update(table_id="0" * 16), DataError, "does not match its table_id"),
        (lambda c: c.pop("table_id"), DataError, "does not match its table_id None"),
        (lambda c: first(c).update(p50_ns=0, p10_ns=0), DataError, "not those of a measurement"),
        (lambda c: first(c).update(p50_ns=-5), DataError, "not those of a measurement"),
        (lambda c: first(c).update(p90_ns=10**18), DataError, "not those of a measurement"),
        (lambda c: first(c).update(p50_ns=1.5), DataError, "p50_ns: expected int, found 1.5"),
        (lambda c: first(c).update(p50_ns=float("nan")), DataError, "holds NaN"),
        (lambda c: first(c).update(spread=-0.1), DataError, "spread -0.1 is not possible"),
        (lambda c: first(c).update(provenance="guessed"), DataError, "provenance: expected one of"),
        (lambda c: first(c).update(n=41), DataError, "does not match its table_id"),
        (lambda c: c.update(entries={}), DataError, "a table needs entries"),
        (lambda c: c["setup"].update(threads="1"), DataError, "threads: expected int"),
        (lambda c: c["setup"].update(threads=-1), DataError, "are not those of a setup"),
        (lambda c: c["setup"].update(visit_ms=-1.0), DataError, "visit_ms -1.0 is not from 0"),
        (lambda c: c["setup"].update(visit_ms=10**400), DataError, "1329 bits is too large"),
        (lambda c: c["setup"].update(threads=1 << 63), DataError, "64 bits is too large"),
        (lambda c: c["setup"].update(device="../x"), DataError, "device '../x' is not a name"),
        (lambda c: c["setup"].update(device="x.toml"), DataError, "device 'x.toml' is not a name"),
        (lambda c: c["setup"].update(target="a/b"), DataError, "target 'a/b' is not a name"),
        (lambda c: c["setup"].update(precision="../../x"), DataError, "precision"),
        (lambda c: c["setup"].update(delegate="/x"), DataError, "delegate '/x' is not a name"),
        (lambda c: c["setup"].update(affinity=[1, 1]), DataError, "distinct core numbers"),
        (lambda c: c.update(space="../x"), DataError, "'../x' is not the name of a space"),
        (lambda c: c.update(classes=0), DataError, "classifier of 0 classes"),
        (lambda c: c.update(resolutions=[]), DataError, "needs the resolutions it covers"),
        (lambda c: c.update(resolutions=[0]), DataError, "are not positive"),
        (lambda c: c.update(reference_ns=1 << 50), DataError, "latency of the reference model"),
        (lambda c: c.update(created="\ud800"), DataError, "not Unicode"),
        (lambda c: c["calibration"].update(scale=1e308), DataError, "calibration coefficients"),
        (lambda c: c["calibration"].update(constant_ns=-1.0), DataError, "coefficients"),
        (
            lambda c: c.update(validation=[CHECK | {"predicted_ns": -5.0}]),
            DataError,
            "predicted -5 ns",
        ),
        (lambda c: c.update(validation=[CHECK | {"error": -1.5}]), DataError, "error of -1.5"),
        (lambda c: c["entries"].update({"[/x]": first(c)}), DataError, "Not an operation key"),
        (lambda c: c["entries"].update({"\x1b[2J": first(c)}), DataError, "Not an operation key"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(saved, change, error, message):
    _, path = saved
    edit(path, change)
    with pytest.raises(error) as refused:
        load_table(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_that_occurs_twice_is_refused(saved):
    _, path = saved
    lines = path.read_text().splitlines()
    twice = next(line for line in lines if line.startswith('  "mbconv'))
    path.write_text("\n".join([*lines[: lines.index(twice)], twice, *lines[lines.index(twice) :]]))
    with pytest.raises(DataError, match="occurs twice"):
        load_table(path)


@pytest.mark.parametrize("content", ["[]", "{}", "null", "3", "\x00"])
def test_other_files_are_no_tables(tmp_path, content):
    path = tmp_path / "table.json"
    path.write_text(content)
    with pytest.raises(HwnatError) as refused:
        load_table(path)
    assert refused.value.exit_code == 3


def test_an_unwritable_place_leaves_no_half_of_a_table(a_table, tmp_path):
    (tmp_path / "table.json").mkdir()
    with pytest.raises(UsageError, match=r"Cannot write .*table\.json: Is a directory"):
        a_table().save(tmp_path / "table.json")
    assert [each.name for each in tmp_path.iterdir()] == ["table.json"]


def test_a_missing_operation_names_the_nearest_and_the_command(saved):
    table, _ = saved
    key = next(key for key in table.entries if "k=5" in key and "skip=1" in key)
    rest = {each: entry for each, entry in table.entries.items() if each != key}
    with pytest.raises(UncoveredOpError) as missing:
        replace(table, entries=rest).lookup(key)
    message = str(missing.value)
    assert message.startswith(f"No latency for {key} in table host-onnx/onnx-fp32-mbv3-nano.")
    assert missing.value.nearest[0] in rest
    assert missing.value.nearest[0].startswith("mbconv|")
    command = shlex.split(message.partition("Measure it with: ")[2])
    assert command[:6] == ["hwnat", "profile", "--device", "host-onnx", "--space", "mbv3-nano"]
    assert command[-2:] == ["--op", key]
    assert "24" in command


def test_a_lookup_gives_the_entry(saved):
    table, _ = saved
    assert all(table.lookup(key) is entry for key, entry in table.entries.items())


def test_a_table_has_a_place_of_its_own(a_table):
    assert str(default_path(a_table())) == "latency_tables/host-onnx/onnx-fp32-mbv3-nano.json"


@pytest.mark.parametrize("change", [{"reference_ns": 0}, {"overhead_ns": -1}, {"entries": {}}])
def test_a_table_without_substance_cannot_be_built(a_table, change):
    with pytest.raises(DataError):
        a_table(**change)


def test_the_id_tells_spaces_apart(a_table):
    table: LatencyTable = a_table(MBV3_NANO)
    assert table.table_id != replace(table, space="other").table_id


def as_schema_1(table):
    """Write a table as the first version of the format did."""
    content = json.loads(table.text)
    for new in ("schema", "table_id", "origin", "sources", "models"):
        del content[new]
    for row in content["entries"].values():
        del row["low_ns"], row["high_ns"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    return content | {"schema": 1, "table_id": digest}


def test_a_table_of_the_first_schema_gains_intervals(saved):
    table, path = saved
    path.write_text(json.dumps(as_schema_1(table)))
    loaded = load_table(path)
    for key, entry in loaded.entries.items():
        assert entry.p50_ns == table.entries[key].p50_ns
        half = 1.645 * 1.2533 / 1.349 * entry.spread / table.protocol.rounds**0.5
        assert entry.high_ns / entry.p50_ns - 1 == pytest.approx(half, abs=2 / entry.p50_ns)
        assert entry.p50_ns / entry.low_ns - 1 == pytest.approx(half, abs=2 / entry.low_ns)


def test_an_edited_table_of_the_first_schema_is_refused(saved):
    table, path = saved
    old = as_schema_1(table)
    first_of = next(iter(old["entries"].values()))
    path.write_text(json.dumps(old | {"overhead_ns": 1 + old["overhead_ns"]}))
    with pytest.raises(DataError, match="does not match its table_id"):
        load_table(path)
    huge = {**first_of, "p50_ns": 10**400}
    damaged = old | {"entries": {next(iter(old["entries"])): huge}}
    path.write_text(json.dumps(damaged))
    with pytest.raises(DataError, match=r"too large|not a table of schema 1"):
        load_table(path)
    del first_of["spread"]
    canonical = {key: value for key, value in old.items() if key not in ("schema", "table_id")}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path.write_text(json.dumps(old | {"table_id": digest}))
    with pytest.raises(DataError, match=r"too large|not a table of schema 1"):
        load_table(path)


def test_a_table_of_operators_has_no_space(a_table):
    table = replace(a_table(), space=None, classes=None)
    assert table.name == "host-onnx/onnx-fp32-operators"
    with pytest.raises(TableMismatchError, match="of no particular space"):
        table.of_space()
    with pytest.raises(DataError, match="is not possible"):
        replace(table, classes=10)


def test_an_imported_table_times_nothing(a_table):
    origin = Origin(
        format="x", files={"a.yaml": "0" * 64}, unit="ms", left_out={"Conv": "no shape"}
    )
    table = replace(a_table(), protocol=None, reference_ns=None, origin=origin)
    with pytest.raises(TableMismatchError, match="not measured by hwnat"):
        table.timed_as()


def test_one_visit_tells_no_narrow_interval():
    low, high = interval_ns(10_000, 0.0, 1)
    assert low < 9_000
    assert high > 11_000
    assert interval_ns(10_000, 0.0, 3) == (10_000, 10_000)


@pytest.mark.parametrize("wrong", [{"low_ns": 0}, {"low_ns": 901}, {"high_ns": 899}])
def test_an_interval_holds_its_latency(an_entry, wrong):
    with pytest.raises(DataError, match="does not hold"):
        an_entry(900, **wrong)


def test_an_infinite_number_is_refused_although_json_can_write_it(saved):
    _, path = saved
    path.write_text(path.read_text().replace('"visit_ms": 5.0', '"visit_ms": 1e999'))
    with pytest.raises(DataError, match="inf is not a finite number"):
        load_table(path)


def test_an_overhead_that_eats_most_entries_is_refused(a_table, an_entry):
    keys = list(a_table().entries)
    one, more = an_entry(1), an_entry(500)
    with pytest.raises(DataError, match="takes 6 of 10 measured entries to 1 ns, so it is wrong"):
        a_table(entries={key: one if n < 6 else more for n, key in enumerate(keys[:10])})
    a_table(entries={key: one if n < 5 else more for n, key in enumerate(keys[:10])})
    a_table(entries=dict.fromkeys(keys[:10], an_entry(1, provenance="imported")))


def test_shipped_tables_keep_their_ids():
    """A field that later versions add must not change the id of a table that lacks it."""
    path = Path(__file__).parents[2] / "latency_tables/host-onnx/onnx-fp32-mbv3-nano.json"
    assert load_table(path).table_id == json.loads(path.read_text())["table_id"]
