"""Tables at every width: whole printed output, and never a digit less."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import cells

from hwnat.cli import output
from hwnat.cli.output import Column, key, print_table, text
from hwnat.export.parity import Parity
from hwnat.export.subnet import ExportReport, FileReport, Timing
from hwnat.predict.score import Agreement, Evaluation
from hwnat.search.run import Candidate, Front

DATA = Path(__file__).parent / "data" / "tables"
WIDTHS = (60, 80, 120, None)
GENOME = "02099999999999999999999"
CASES = (
    "device-list",
    "arch-show",
    "table-show",
    "table-stages",
    "table-diff",
    "predict-explain",
    "front",
    "report",
    "evaluation",
)


@pytest.fixture
def terminal(monkeypatch):
    """Pretend that stdout is a terminal so many columns wide; None is a pipe."""

    def become(width):
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        if width:
            monkeypatch.setenv("FORCE_COLOR", "1")
            monkeypatch.setenv("COLUMNS", str(width))

    return become


@pytest.fixture
def tables(a_table, an_entry, tmp_path):
    """Write a table of few entries, and one in which an entry became 303 ms."""
    table = a_table(created="2026-01-02T03:04:05+00:00", hwnat="0.2.0")
    keys = sorted(table.entries, key=len)[-6:]
    few = replace(table, entries={key: an_entry(1_234_567 * 10**i) for i, key in enumerate(keys)})
    few.save(tmp_path / "few.json")
    moved = {**few.entries, keys[2]: an_entry(303_000_000)}
    replace(few, entries=moved).save(tmp_path / "moved.json")
    table.save(tmp_path / "whole.json")


def front():
    rows = ((100_000_000.0, 1.0), (9_000_000.0, 12.25))
    return Front(
        schema=1,
        space="mbv3-nano",
        data="digits",
        classes=10,
        objectives=("error", "latency@t.json", "macs"),
        candidates=tuple(
            Candidate(
                genome=GENOME,
                error_percent=error,
                test_error_percent=error + 0.5,
                costs=(error, macs / 3, macs),
            )
            for macs, error in rows
        ),
    )


def report():
    timing = Timing(
        table_id="0" * 16,
        predicted_ns=303_000_123.0,
        interval_ns=None,
        measured_ns=299_123_456,
        runs=9,
    )
    files = [
        FileReport(
            target=target,
            runtime=target,
            runtime_version="1",
            file=f"model.{target}",
            sha256="0" * 64,
            size_bytes=12_345_678,
            details={"transposes": 12},
            parity=Parity(rows=8, max_abs_diff=4e-6, output_range=10.0, top1_agreement=1.0),
            top1_percent=99.25,
            timing=timing,
        )
        for target in ("onnx", "tflite")
    ]
    return ExportReport(
        space="mbv3-nano",
        genome=GENOME,
        classes=10,
        params=1_234_567,
        macs=123_456_789,
        images=100,
        top1_percent=99.25,
        files=tuple(files),
    )


def evaluation():
    agreement = Agreement(
        n=1000,
        mape=0.0123,
        bias=-0.0045,
        rmspe=0.02,
        within5=0.97,
        within10=1.0,
        spearman=0.99,
        kendall=0.98,
        coverage90=0.9,
    )
    return Evaluation(**(vars_of(agreement) | {"baselines": {"one_scale": agreement}, "facts": {}}))


def vars_of(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


@pytest.fixture
def printed(hwnat, tables, capfd):
    """Return what a case prints."""
    del tables
    commands = {
        "device-list": ("device", "list"),
        "arch-show": ("arch", "show", "--space", "mbv3-nano", "--genome", GENOME, "--classes", 10),
        "table-show": ("table", "show", "few.json"),
        "table-stages": ("table", "show", "whole.json", "--by-stage"),
        "table-diff": ("table", "diff", "few.json", "moved.json"),
        "predict-explain": ("predict", "--table", "whole.json", "--genome", GENOME, "--explain"),
    }

    def run(case):
        if case in commands:
            code, out, err = hwnat(*commands[case])
            assert (code, err) == (0, "")
            return out
        from hwnat.cli.export import print_report
        from hwnat.cli.search import print_front

        made = {"front": front, "report": report, "evaluation": evaluation}[case]()
        printers = {
            "front": print_front,
            "report": print_report,
            "evaluation": output.print_evaluation,
        }
        capfd.readouterr()
        printers[case](made)
        return capfd.readouterr().out

    return run


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_the_whole_output_fits_the_terminal(printed, terminal, case, width):
    terminal(width)
    shown = printed(case)
    path = DATA / f"{case}-{width or 'pipe'}.txt"
    if os.environ.get("HWNAT_RECORD"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text()
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_narrow_diff_shows_303_milliseconds(printed, terminal, width):
    terminal(width)
    assert "303.000" in printed("table-diff").split()


CELL = st.text(st.characters(codec="ascii", categories=["L", "P", "S"]), max_size=40)
NUMBER = st.integers(-(10**12), 10**12).map(lambda number: f"{number:,}")


@given(st.lists(st.tuples(CELL, NUMBER, NUMBER, CELL), min_size=1, max_size=4), st.integers(10, 90))
def test_no_width_cuts_a_number(rows, width):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"NO_COLOR": "1", "FORCE_COLOR": "1", "COLUMNS": str(width)}.items():
            patch.setenv(name, value)
        lines = []
        patch.setattr(output.click, "echo", lambda line="", **_: lines.append(line))
        columns = (text("first name"), "some number", "another", text("about", rank=1))
        print_table("", columns, rows)
    lines = "\n".join(lines).splitlines()
    words = " ".join(lines).split()
    for row in rows:
        for number in row[1:3]:
            assert number in words
    records = any(line.startswith("some number ") for line in lines)
    assert records or all(len(line) <= width for line in lines)


def test_a_cut_is_marked_and_keeps_both_ends(terminal, capsys):
    terminal(40)
    name = "mbconv|in=1x14x14x80|mid=480|out=112|k=5|s=1|act=hswish|se=120"
    print_table("", (key("operation"), "ms"), [(name, "1.000")])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("mbconv|in=1x14")
    assert "…" in line
    assert "se=120" in line


@pytest.mark.parametrize("width", [25, 60, 200, None])
def test_a_table_of_ascii_never_looks_up_the_width_of_a_character(
    terminal, monkeypatch, capsys, width
):
    terminal(width)
    looked_up = []
    monkeypatch.setattr(cells, "cell_len", lambda text: looked_up.append(text) or len(text))
    rows = [(f"conv|in=1x8x8x{number}|out=4", f"{number}.000", "measured") for number in range(999)]
    rows += [("漢字", "1.000", "measured")]
    print_table("", (key("operation"), "p50 ms", text("provenance", rank=1)), rows)
    assert "998.000" in capsys.readouterr().out
    # Cutting and padding look at a cell again; a cell of 1,000 stays one cell.
    assert set(looked_up) <= {"漢字", f"{'operation':<12}漢字"}
    assert 1 <= len(looked_up) <= 4


def test_a_list_of_facts_asks_for_the_width_of_the_terminal_once(terminal, monkeypatch, capsys):
    terminal(25)
    asked = []
    real = output.console
    monkeypatch.setattr(output, "console", lambda **options: asked.append(1) or real(**options))
    print_table("", (key("operation"), "p50 ms"), [("k" * 30, "1.000")] * 100)
    assert capsys.readouterr().out.count("1.000") == 100
    assert len(asked) == 1


@pytest.mark.parametrize("width", [30, 80])
def test_wide_characters_keep_the_columns_straight(terminal, capsys, width):
    terminal(width)
    print_table("", (text("name"), "ms"), [("漢字" * 3, "1.000"), ("ascii", "2.000")])
    lines = capsys.readouterr().out.splitlines()
    assert {cells.cell_len(line) for line in lines} == {12 + 2 + 5}


def test_text_from_files_cannot_reach_the_terminal_raw(terminal, capsys):
    terminal(80)
    print_table("[red]", (text("a[b]"), "n"), [("[bold]\x1b[31mred\x1b[0m\nline", "1")])
    shown = r"[bold]\x1b[31mred\x1b[0m\nline"
    assert capsys.readouterr().out == f"[red]\na[b]{' ' * 28}n\n{shown}  1\n"


def test_headers_are_bold_only_where_colour_is_wanted(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    print_table("", (Column("n"),), [("1",)])
    assert "\x1b[1m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    print_table("", (Column("n"),), [("1",)])
    assert "\x1b" not in capsys.readouterr().out


def test_json_holds_records_and_paths(capsys):
    output.print_json({"path": Path("a/b"), "cell": Column("n")})
    content = json.loads(capsys.readouterr().out)
    assert content == {"path": "a/b", "cell": {"name": "n", "text": False, "key": False, "rank": 0}}
