import json
import runpy
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hwnat.records.space import MBV3_NANO
from hwnat.table.lookup import load_table

SAMPLE = runpy.run_path(
    str(Path(__file__).parents[1] / "table" / "importers" / "sample_benchmark_model_csv.py")
)["SAMPLE"]
FORMAT = ("--format", "benchmark-model-csv")
LARGEST = MBV3_NANO.encode(MBV3_NANO.largest())


@pytest.fixture
def profile(tmp_path):
    """Write a profile of benchmark_model and the keys of its nodes."""
    for name, text in {**SAMPLE["files"], **SAMPLE["beside"]}.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "profile.csv"


def test_import_writes_a_table_and_says_what_was_left_out(hwnat, profile):
    code, out, err = hwnat(
        *("table", "import", profile, *FORMAT, "--device", "phone", "--option", "keys=keys.json"),
        *("--threads", 2, "--runtime-version", "2.1"),
    )
    assert code == 0, err
    assert out == "latency_tables/phone/tflite-fp32-operators.json\n"
    assert "left out (SOFTMAX: no operation key is given for it): [prob]:4" in err
    table = load_table(out.strip())
    assert {key: row.p50_ns for key, row in table.entries.items()} == SAMPLE["entries"]
    assert (table.setup.threads, table.setup.runtime_version) == (2, "2.1")


def test_import_prints_json(hwnat, profile, tmp_path):
    code, out, _ = hwnat(
        *("table", "import", profile, *FORMAT, "--device", "phone", "--option", "keys=keys.json"),
        *("--out", tmp_path / "t.json", "--json"),
    )
    assert code == 0
    printed = json.loads(out)
    assert printed["entries"] == 3
    assert set(printed["left_out"]) == SAMPLE["unmapped"]
    assert printed["table_id"] == load_table(tmp_path / "t.json").table_id


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--device", "phone"], 3, "has no shapes"),
        (["--device", "a/b"], 2, "--device"),
        (["--device", ".."], 2, "--device"),
        (["--device", "phone", "--option", "keys"], 2, "expected NAME=VALUE"),
        (["--device", "phone", "--option", "kyes=keys.json"], 2, "Did you mean 'keys'?"),
        (["--device", "phone", "--option", "keys=keys.json", "--precision", "int8"], 3, "fp32"),
    ],
)
def test_an_import_that_cannot_be_meant_writes_nothing(hwnat, profile, args, code, words):
    got, out, err = hwnat("table", "import", profile, *FORMAT, *args)
    assert (got, out) == (code, "")
    assert words in err
    assert not Path("latency_tables").exists()


def test_an_unknown_format_offers_the_known_ones(hwnat, profile):
    code, _, err = hwnat("table", "import", profile, "--format", "odd", "--device", "phone")
    assert code == 2
    assert "benchmark-model-csv" in err


def test_an_imported_table_is_shown_by_kind(hwnat, profile):
    args = ("--device", "phone", "--option", "keys=keys.json", "--out", "t.json")
    hwnat("table", "import", profile, *FORMAT, *args)
    code, out, _ = hwnat("table", "show", "t.json")
    assert code == 0
    assert "3 operators of any network" in out
    assert "unknown number of threads" in out
    assert "none: not measured by hwnat" in out
    code, out, _ = hwnat("table", "show", "t.json", "--by-stage")
    assert code == 0
    assert out.index("conv ") < out.index("add ") < out.index("linear ")
    assert "####" in out


def test_stages_are_printed_and_drawn(hwnat, table_file, tmp_path):
    code, out, _ = hwnat("table", "show", table_file, "--by-stage", "--plot", tmp_path / "p.svg")
    assert code == 0
    for word in ("smallest, 24 pixels", "median, ", "largest, 32 pixels", "stage 5", "calibrated"):
        assert word in out
    assert ElementTree.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")
    code, out, _ = hwnat("table", "show", table_file, "--by-stage", "--json")
    parts = [row["parts"] for row in json.loads(out)["by_stage"]]
    assert len(parts) == 3
    assert parts[0]["starting a run"] == 5_000


def test_only_svg_is_drawn(hwnat, table_file):
    code, _, err = hwnat("table", "show", table_file, "--plot", "p.png")
    assert code == 2
    assert ".svg" in err
    assert not Path("p.png").exists()


def test_lint_of_a_clean_table_ends_with_0(hwnat, a_table, an_entry):
    table = a_table()
    sizes = {key: 5_000 + 10 * i for i, key in enumerate(sorted(table.entries))}
    replace(table, entries={k: an_entry(ns) for k, ns in sizes.items()}).save(Path("t.json"))
    code, out, err = hwnat("table", "lint", "t.json", "--json")
    printed = json.loads(out)
    assert (code, printed["errors"]) == (0, 0), err
    assert "copied" in printed["not_applied"]


def test_lint_of_a_table_with_an_error_ends_with_1(hwnat, a_table):
    table = a_table()
    table.save(Path("one.json"))
    other = replace(table, setup=replace(table.setup, device="other"))
    other.save(Path("other.json"))
    code, out, err = hwnat("table", "lint", "one.json", "other.json")
    assert code == 1
    assert "error [copied] one.json: " in out
    assert "198 of 198 entries" in out
    assert "1 error in one.json, other.json. Correct" in err


def test_lint_takes_published_networks(hwnat, table_file):
    code, out, _ = hwnat("table", "lint", table_file, "--network", f"{LARGEST}=0.7", "--json")
    assert code == 0
    assert "total-is-sum" not in json.loads(out)["not_applied"]
    table = load_table(table_file)
    ops = [key for key in table.entries if "|k=7|" not in key]
    replace(table, entries={key: table.entries[key] for key in ops}).save(Path("holes.json"))
    code, out, _ = hwnat("table", "lint", "holes.json", "--network", LARGEST)
    assert code == 1
    assert f"error [missing-blocks] holes.json: {LARGEST}: " in out


@pytest.mark.parametrize("ms", ["0", "-1", "x"])
def test_a_published_latency_must_be_one(hwnat, table_file, ms):
    code, _, err = hwnat("table", "lint", table_file, "--network", f"{LARGEST}={ms}")
    assert code == 3
    assert LARGEST in err


def test_lint_reads_files_of_others_past_what_import_refuses(hwnat, profile):
    profile.write_text(profile.read_text().replace("0.30944", "-1"))
    args = ("--option", "keys=keys.json")
    code, _, err = hwnat("table", "import", profile, *FORMAT, "--device", "phone", *args)
    assert code == 3
    assert "'not measured'" in err
    code, out, err = hwnat("table", "lint", profile, *FORMAT, *args)
    assert code == 1
    assert "error [not-measured]" in out
    assert "left out" in err
    code, out, _ = hwnat("table", "lint", profile, *FORMAT, *args, "--json")
    assert json.loads(out)["findings"][0]["rule"] == "not-measured"


def test_many_findings_of_a_rule_are_cut_and_counted(hwnat, a_table, an_entry):
    table = a_table()
    noisy = {key: an_entry(row.p50_ns, spread=0.9) for key, row in table.entries.items()}
    replace(table, entries=noisy).save(Path("t.json"))
    _, out, _ = hwnat("table", "lint", "t.json")
    assert out.count("warning [noisy] t.json") == 8
    assert "warning [noisy] and 190 more; --json lists all" in out


def test_options_about_files_of_others_need_a_format(hwnat, table_file):
    code, _, err = hwnat("table", "lint", table_file, "--device", "phone")
    assert code == 2
    assert "--format" in err


@pytest.fixture
def two_tables(a_table, an_entry, tmp_path):
    """Write a table and one with an entry twice as slow."""
    table = a_table()
    table.save(tmp_path / "a.json")
    key = min(table.entries)
    slow = {**table.entries, key: an_entry(2 * table.entries[key].p50_ns)}
    later = replace(table, entries=slow, setup=replace(table.setup, runtime_version="9"))
    later.save(tmp_path / "b.json")
    return key


def test_diff_prints_what_moved(hwnat, two_tables):
    code, out, _ = hwnat("table", "diff", "a.json", "b.json")
    assert code == 0
    assert "runtime_version: 1.0 -> 9" in out
    assert "1 of 198 entries have intervals that do not overlap" in out
    assert any(line.startswith(two_tables) and "2.000" in line for line in out.splitlines())
    assert "whole networks, calibrated" in out
    code, out, _ = hwnat("table", "diff", "a.json", "b.json", "--json")
    assert [row["key"] for row in json.loads(out)["moved"]] == [two_tables]


def test_diff_can_be_a_gate(hwnat, two_tables):
    code, out, err = hwnat("table", "diff", "a.json", "b.json", "--fail-over", 50)
    assert code == 1
    assert two_tables in err
    assert out
    assert hwnat("table", "diff", "a.json", "b.json", "--fail-over", 150)[0] == 0
    assert hwnat("table", "diff", "b.json", "a.json", "--fail-over", 50)[0] == 0


def test_a_gate_is_not_passed_by_tables_with_nothing_in_common(hwnat, a_table):
    a_table(resolutions=(24,)).save(Path("a.json"))
    whole = a_table(resolutions=(32,))
    own = {key: row for key, row in whole.entries.items() if "x32x32x" in key}
    replace(whole, entries=own).save(Path("b.json"))
    code, _, err = hwnat("table", "diff", "a.json", "b.json", "--fail-over", 5)
    assert code == 5
    assert "no entry in common" in err
    assert hwnat("table", "diff", "a.json", "a.json", "--fail-over", "nan")[0] == 2


def test_diff_refuses_another_precision_unless_told(hwnat, a_table, a_setup):
    a_table().save(Path("a.json"))
    a_table(setup=a_setup(precision="int8")).save(Path("b.json"))
    code, _, err = hwnat("table", "diff", "a.json", "b.json")
    assert code == 3
    assert "differ in precision: fp32 and int8" in err
    assert hwnat("table", "diff", "a.json", "b.json", "--force")[0] == 0


def test_diff_names_new_and_gone_entries(hwnat, a_table):
    a_table(resolutions=(24,)).save(Path("a.json"))
    a_table(resolutions=(32,)).save(Path("b.json"))
    code, out, _ = hwnat("table", "diff", "a.json", "b.json")
    assert code == 0
    assert "new: " in out
    assert "gone: " in out
