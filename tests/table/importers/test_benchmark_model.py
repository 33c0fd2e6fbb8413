import json
import runpy
from pathlib import Path

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.table.importers.base import Request, Source
from hwnat.table.importers.benchmark_model import CSV, TEXT

MADE = runpy.run_path(str(Path(__file__).with_name("sample_benchmark_model_csv.py")))
CONV, ADD, LINEAR = MADE["CONV"], MADE["ADD"], MADE["LINEAR"]
SOFTMAX = "softmax|in=1x1x1x10|float32"


@pytest.fixture
def read(tmp_path):
    """Read profiles with keys: `read(text, keys={name: key})`."""

    def run(*texts, keys=None, **changes):
        options = {}
        if keys is not None:
            rows = [f'"{name}": "{key}"' for name, key in keys.items()]
            (tmp_path / "keys.json").write_text("{" + ", ".join(rows) + "}")
            options = {"keys": str(tmp_path / "keys.json")}
        sources = [Source.of(f"{i}.csv", text.encode()) for i, text in enumerate(texts)]
        request = Request(device="phone", options=options, **changes)
        return CSV.read(sources, request)

    return run


def profile(*rows, columns=MADE["COLUMNS"], timings=MADE["TOTAL"]):
    return MADE["INIT"] + MADE["profile"](MADE["RUNS"], columns, list(rows), timings)


STEM = "CONV_2D, 1, 2, 60%, 60%, 0, 1, [stem]:0"


def test_the_older_generation_has_a_start_and_commas_in_names(read):
    row = "ADD, 0.5, 0.31, 0.3, 6%, 84%, 0, 1, [a, b]:3"
    imported = read(profile(row, columns=MADE["OLD_COLUMNS"]), keys={"[a, b]:3": ADD})
    assert imported.entries[ADD].p50_ns == 300_000
    assert imported.places[ADD].startswith("0.csv:")


@pytest.mark.parametrize("kind", ["Softmax (NC, F32)", "Fully Connected (NC, F32) GEMM", "A, B"])
def test_node_types_may_hold_commas(read, kind):
    row = f"{kind}, 9, 0.25, 60%, 60%, 0, 1, Delegate/{kind}:0".replace("/A, B", "/A\tB")
    imported = read(profile(row), keys={f"Delegate/{kind}:0".replace("/A, B", "/A,B"): LINEAR})
    assert imported.entries[LINEAR].p50_ns == 250_000


def test_the_initialisation_and_the_summaries_are_no_nodes(read):
    imported = read(profile(STEM), keys={"[stem]:0": CONV})
    assert {key: entry.p50_ns for key, entry in imported.entries.items()} == {CONV: 2_000_000}
    assert not imported.unmapped


def test_shapes_that_are_missing_are_asked_for_with_an_example(read):
    with pytest.raises(DataError, match=r'has no shapes.*--option keys=FILE.*\{"\[stem\]:0"'):
        read(profile(STEM))


def test_lint_reads_a_profile_without_keys(read):
    imported = read(profile(STEM), lenient=True)
    assert not imported.entries
    assert set(imported.unmapped) == {"[stem]:0"}


def test_equal_operations_give_their_median(read):
    rows = [f"CONV_2D, 1, {ms}, 60%, 60%, 0, 1, [c]:{ms}" for ms in (2, 3, 9)]
    imported = read(profile(*rows), keys={f"[c]:{ms}": CONV for ms in (2, 3, 9)})
    assert imported.entries[CONV].p50_ns == 3_000_000
    assert imported.entries[CONV].n == 150


def test_several_runs_of_a_model_are_put_together(read):
    imported = read(profile(STEM), profile(STEM.replace(" 2,", " 4,")), keys={"[stem]:0": CONV})
    assert imported.entries[CONV].p50_ns == 3_000_000
    assert imported.entries[CONV].n == 100


def test_rows_of_a_delegate_are_left_out_and_said(read):
    inner = MADE["profile"](
        "Delegate internal:", MADE["COLUMNS"], ["X, 1, 2, 9%, 9%, 0, 1, in"], "count=1 curr=9"
    )
    imported = read(profile(STEM) + inner, keys={"[stem]:0": CONV})
    assert "part of a delegate's or subgraph's row" in imported.unmapped["in"]
    assert list(imported.entries) == [CONV]


def test_a_profile_measures_no_network_for_its_total_is_the_sum_of_its_nodes(read):
    assert read(profile(STEM), keys={"[stem]:0": CONV}).networks == ()


def test_a_node_below_the_clock_is_left_out_and_said(read):
    row = "RESHAPE, 0, 0, 0%, 60%, 0, 1, [flat]:1"
    keys = {"[stem]:0": CONV, "[flat]:1": "move|in=1x1x1x64|float32"}
    imported = read(profile(STEM, row), keys=keys)
    assert "resolution" in imported.unmapped["[flat]:1"]
    assert list(imported.entries) == [CONV]


@pytest.mark.parametrize(
    ("timings", "runs"),
    [
        ("count=1 curr=1210", 1),
        ("count=9 curr=5(all same)", 9),
        ("count=50 first=1 curr=1 min=1 max=9 avg=2.35228e+06 std=3", 50),
        ("count=50 first=1 curr=1 min=1 max=9 avg=7.5 std=3 p5=1 median=2 p95=3", 50),
    ],
)
def test_runs_are_counted_in_all_spellings(read, timings, runs):
    imported = read(profile(STEM, timings=timings), keys={"[stem]:0": CONV})
    assert imported.entries[CONV].n == runs


def test_keys_of_another_model_are_refused(read):
    with pytest.raises(DataError, match="no profile has a node 'other'"):
        read(profile(STEM), keys={"other": CONV})
    with pytest.raises(DataError, match=r"'\[stem\]:0' is CONV_2D, but its key is linear"):
        read(profile(STEM), keys={"[stem]:0": LINEAR})


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', "{", '{"[stem]:0": "conv|nonsense"}'])
def test_a_file_of_keys_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    source = Source.of("0.csv", profile(STEM).encode())
    request = Request(device="phone", options={"keys": str(tmp_path / "bad.json")})
    with pytest.raises(DataError):
        CSV.read([source], request)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.replace("Number of nodes executed: 1", "Number of nodes executed: 2"),
            "the table has 1 rows",
        ),
        (lambda t: t.partition("Operator-wise")[0], "no operator table of regular runs"),
        (lambda t: t.rpartition("Timings")[0], "truncated"),
        (lambda t: t.rpartition("1 nodes observed")[0], "truncated"),
        (lambda t: t.replace("avg_ms", "avg"), "avg_ms"),
        (lambda t: t.replace("Memory (bytes)", "Memry (bytes)"), "expected the end"),
        (lambda t: t + t, "second profile"),
        (lambda t: t.replace("[stem]", "\x1b[31m"), "has control characters"),
        (lambda t: t.replace("[stem]", "s" * 2_000), "the limit is 2,000"),
        (lambda t: t.replace(STEM, f"{STEM}\n" * 50_001), "over 50,000 rows"),
        (lambda t: t.replace("mem KB", ", ".join(map(str, range(300)))), "expected the header"),
        (lambda t: t.replace(", [stem]:0", ""), "expected 8 values"),
    ],
)
def test_a_damaged_profile_is_refused(read, change, message):
    with pytest.raises(DataError, match=message):
        read(change(profile(STEM)), keys={"[stem]:0": CONV})


def test_a_unit_cannot_be_given(read):
    with pytest.raises(UsageError, match="state their unit"):
        read(profile(STEM), keys={"[stem]:0": CONV}, unit="us")


def test_a_count_of_1900_digits_is_refused(read):
    rows = "=== Run Order ===\nnode type, avg_ms, name\nCONV_2D, 1.0, a\n\n"
    text = f"{MADE['RUNS']}\n{rows}Number of nodes executed: {'1' * 1_900}"
    with pytest.raises(DataError, match=r"0\.csv:6: expected the end of the operator table"):
        read(text, keys={"a": CONV})


@pytest.mark.parametrize("generation", ["old", "new"])
def test_the_tools_own_output_is_read(read, shared_data, generation):
    text = (shared_data / "runtime-logs" / f"bm_{generation}_profile.csv").read_text()
    imported = read(text, keys={"[logits]:10": LINEAR, "[stem]:0": CONV})
    assert {key: entry.p50_ns for key, entry in imported.entries.items()} == {
        LINEAR: 3_580,
        CONV: 1_894_800,
    }
    assert len(imported.unmapped) == 10


#: Operations that the types of the published nodes may have.
CONV_OR_ANY = {
    "[b0_dw]:1": "dwconv|in=1x32x32x16|out=16|k=3|s=1|act=relu|float32",
    "Delegate/Add (ND):3": ADD,
    "[Builtin]:16": "gpool|in=1x8x8x64|op=avg|float32",
}


@pytest.fixture
def read_file(tmp_path):
    """Read a file with an importer: `read_file(TEXT, path, {name: key})`."""

    def run(importer, path, keys):
        (tmp_path / "keys.json").write_text(json.dumps(keys))
        request = Request(device="phone", options={"keys": str(tmp_path / "keys.json")})
        return importer.read([Source.read(path)], request)

    return run


def test_tables_of_the_text_are_read_by_their_columns(read_file, runtime_logs):
    keys = {"[first]:0": CONV, "[sum]:2": ADD}
    imported = read_file(TEXT, runtime_logs / "tf2_profile.txt", keys)
    assert {key: entry.p50_ns for key, entry in imported.entries.items()} == {
        CONV: 701_000,
        ADD: 42_000,
    }
    assert imported.entries[CONV].n == 20
    assert set(imported.unmapped) == {"[dw, left]:1", "[flat]:3", "[out]:4"}
    (network,) = imported.networks
    assert network.measured_ns == 1_009_250
    assert network.keys == (CONV, ADD)
    assert set(network.unmapped) == set(imported.unmapped)


def test_rows_of_subgraphs_and_delegates_are_left_out(read_file, runtime_logs):
    imported = read_file(TEXT, runtime_logs / "litert_profile.txt", {"[loop]:7": CONV})
    assert imported.entries[CONV].p50_ns == 60_000
    for name in ("[x]:0", "[y]:1", "Sigmoid (NC, F32):0"):
        assert "part of a delegate's or subgraph's row" in imported.unmapped[name]


def test_the_summary_of_litert_s_c_interface_is_padded_with_spaces(read_file, runtime_logs):
    imported = read_file(TEXT, runtime_logs / "capi_summary.txt", {"[Builtin]:2": SOFTMAX})
    assert imported.entries[SOFTMAX].p50_ns == 210_000
    assert set(imported.unmapped) == {"[Delegate]:0", "[Delegate]:1"}
    assert imported.networks == ()


def test_results_of_litert_s_own_runner_are_those_of_the_network(read_file, runtime_logs, tmp_path):
    names = ("capi_summary.txt", "litert_model.txt")
    (tmp_path / "both.txt").write_text("".join((runtime_logs / name).read_text() for name in names))
    imported = read_file(TEXT, tmp_path / "both.txt", {"[Builtin]:2": SOFTMAX})
    assert [network.measured_ns for network in imported.networks] == [2_250_000]


@pytest.mark.parametrize(
    ("name", "node", "ns"),
    [
        ("bm_tf2.4_opprofile.txt", "[b0_dw]:1", 819_000),
        ("bm_litert2_xnnpack_opprofile.txt", "Delegate/Add (ND):3", 50_000),
        ("litert_capi_profile_arm64.txt", "[Builtin]:16", 295_000),
    ],
)
def test_published_texts_are_read(read_file, shared_data, name, node, ns):
    imported = read_file(TEXT, shared_data / "runtime-logs" / name, {node: CONV_OR_ANY[node]})
    (entry,) = imported.entries.values()
    assert entry.p50_ns == ns


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("5 nodes observed", "6 nodes observed", "the table has 5 rows"),
        ("[avg ms]", "[avg us]", "expected the header"),
        ("\t    0.255\t", "\t    0,255\t", "expected 9 values"),
        ("Inference (avg): 1009.25", "Inference (avg): 1009.25.1", "not a finite number"),
    ],
)
def test_a_damaged_text_is_refused(read_file, runtime_logs, tmp_path, old, new, message):
    text = (runtime_logs / "tf2_profile.txt").read_text()
    assert old in text
    (tmp_path / "log.txt").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_file(TEXT, tmp_path / "log.txt", {"[first]:0": CONV})


def test_a_log_without_operators_names_the_flag(read_file, runtime_logs):
    with pytest.raises(DataError, match="--enable_op_profiling=true"):
        read_file(TEXT, runtime_logs / "tf1.txt", {"a": CONV})


def test_csv_and_text_name_each_other(read_file, runtime_logs):
    with pytest.raises(DataError, match="is TEXT; use --format benchmark-model-text"):
        read_file(CSV, runtime_logs / "tf2_profile.txt", {"a": CONV})
    with pytest.raises(DataError, match="is CSV; use --format benchmark-model-csv"):
        read_file(TEXT, runtime_logs / "profile.csv", {"a": CONV})
