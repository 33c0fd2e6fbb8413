"""The commands of a latency table, from a person's side: text, JSON, exit codes."""

import json

import pytest
from click.testing import CliRunner

from hwnat.cli.main import app
from hwnat.errors import HwnatError
from hwnat.records.space import MBV3_NANO
from hwnat.table.calibrate import Calibration, NetworkCheck

LARGEST = "02099999999999999999999"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in an empty folder; return its stdout, or raise what it raised."""
    monkeypatch.chdir(tmp_path)

    def invoke(*args):
        done = CliRunner().invoke(app, [str(arg) for arg in args], standalone_mode=False)
        if done.exception:
            raise done.exception
        return done.stdout

    return invoke


@pytest.fixture
def table(a_table, tmp_path):
    figures = {"sum_ns": 9, "ops": 9, "measured_ns": 9, "predicted_ns": 9.0, "error": 0.02}
    checks = (NetworkCheck(genome=LARGEST, **figures),) * 10
    path = tmp_path / "table.json"
    fit = Calibration(form="scale", scale=0.9, networks=checks)
    a_table(calibration=fit, validation=checks[:2]).save(path)
    return path


def test_published_costs_are_printed_digit_for_digit(run):
    args = [
        "arch",
        "show",
        "--space",
        "mbv3-w1.0",
        "--classes",
        "1000",
        "--genome",
        "08011001440551052208877",
    ]
    printed = json.loads(run(*args, "--json"))
    assert (printed["params"], printed["macs"]) == (6_067_408, 222_557_600)
    assert sum(op["macs"] for op in printed["ops"]) == printed["macs"]
    assert "6,067,408 parameters, 222,557,600 MACs" in run(*args)


def test_a_prediction_is_a_latency_with_an_interval(run, table):
    printed = json.loads(run("predict", "--table", table, "--genome", LARGEST, "--json"))
    low, high = printed["interval_ns"]
    assert low < printed["latency_ns"] < high
    text = run("predict", "--table", table, "--genome", LARGEST)
    assert text.startswith(f"{printed['latency_ns'] / 1e6:.3f} ms  (90 % interval: ")


def test_an_explanation_adds_up(run, table):
    args = ("predict", "--table", table, "--genome", LARGEST, "--explain")
    printed = json.loads(run(*args, "--json"))
    assert len(printed["parts"]) == 25
    total = printed["overhead_ns"] + sum(part["latency_ns"] for part in printed["parts"])
    assert printed["latency_ns"] == pytest.approx(0.9 * total)
    lines = run(*args).splitlines()
    assert sum("measured" in line for line in lines) == 25
    assert f"{total / 1e6:.3f}" in next(line for line in lines if line.startswith("sum"))


def test_a_table_is_shown_with_its_entries(run, table):
    text = run("table", "show", table)
    assert "host-onnx/onnx-fp32-mbv3-nano" in text
    assert "2.0% mean error on 2 networks" in text
    content = json.loads(run("table", "show", table, "--json"))
    assert all(key in text for key in content["table"]["entries"])


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["predict", "--table", "none.json", "--genome", LARGEST], 3, "none.json"),
        (["predict", "--table", "{table}", "--genome", "01"], 2, "written with 23 digits"),
        (["predict", "--table", "{table}", "--genome", LARGEST, "--space", "mbv3-w1.0"], 3, "mbv3"),
        (["predict", "--table", "{table}", "--genome", LARGEST, "--space", "mbv"], 2, "Known:"),
        (
            ["table", "build"],
            2,
            "No store runs/measurements.sqlite. Measure a device",
        ),
        (["device", "doctor", "host-onxx"], 2, "Did you mean host-onnx"),
        (["profile", "--device", "nobody", "--space", "mbv3-nano"], 2, "No device file"),
        (
            ["profile", "--device", "host-onnx", "--space", "mbv3-nano", "--budget", "9"],
            2,
            "A budget of 9 timings is too small",
        ),
    ],
)
def test_bad_input_ends_in_one_line_and_writes_nothing(run, table, args, code, message):
    before = sorted(table.parent.rglob("*"))
    with pytest.raises(HwnatError) as refused:
        run(*(arg.format(table=table) for arg in args))
    assert refused.value.exit_code == code
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(table.parent.rglob("*")) == before


@pytest.mark.slow
def test_a_profile_can_be_built_again_and_used(run, tmp_path):
    (tmp_path / "quick.toml").write_text(
        'transport = "local"\ntarget = "tflite"\n'
        "[protocol]\nrounds = 1\nruns = 1\nwarmup = 0\nvisit_ms = 0.0\n"
    )
    made = run(
        *("profile", "--device", "quick.toml", "--space", "mbv3-nano", "--resolution", "24"),
        *("--calibration", "2", "--validation", "1"),
    )
    path = tmp_path / "latency_tables/quick/tflite-fp32-mbv3-nano.json"
    assert made.split() == [str(path.relative_to(tmp_path))]
    text = path.read_text()
    path.unlink()
    assert json.loads(run("table", "build", "--json"))["entries"] > 50
    assert path.read_text() == text
    smallest = MBV3_NANO.encode(MBV3_NANO.smallest())
    assert " ms" in run("predict", "--table", path, "--genome", smallest)
