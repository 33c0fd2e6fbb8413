"""`hwnat predict --model` and `hwnat profile --model`, from a file to a number."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from hwnat.table.calibrate import calibrate
from hwnat.table.lookup import load_table
from hwnat.targets.base import get_target
from hwnat.targets.onnx.target import write_onnx


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU(), nn.Conv2d(16, 32, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    write_onnx(small_net(), (1, 3, 32, 32), path)
    return path


@pytest.fixture
def table(a_table, a_setup, an_entry, model, tmp_path):
    """Write a table that holds the model's operators at 1000 ns row."""

    def write(leave_out="nothing", target="onnx"):
        trace = get_target(target).trace(model)
        runtime, version = get_target(target).runtime()
        names, sums = [f"n{i}" for i in range(10)], [1000 * i for i in range(1, 11)]
        measured = [s * (51 + (-1) ** s // 1) // 50 for s in sums]
        built = replace(
            a_table(setup=a_setup(target=target, runtime=runtime, runtime_version=version)),
            space=None,
            classes=None,
            resolutions=(),
            granularity="operator",
            entries={
                op.key: an_entry(1000) for op in trace.specs if not op.key.startswith(leave_out)
            },
            calibration=calibrate(names, sums, [5] * 10, measured),
        )
        path = tmp_path / "operators.json"
        built.save(path)
        return path

    return write


def test_a_model_is_predicted_from_its_operators(hwnat, table, model):
    path = table()
    code, out, err = hwnat("predict", "--model", model, "--table", path)
    assert (code, err) == (0, "")
    assert " ms  (90 % interval: " in out
    code, out, _ = hwnat("predict", "--model", model, "--table", path, "--json", "--explain")
    printed = json.loads(out)
    total = printed["overhead_ns"] + 1000 * printed["operators"]
    assert printed["latency_ns"] == pytest.approx(load_table(path).calibration.apply(total, 0))
    assert printed["provenance"] == {"measured": printed["operators"]}
    assert printed["parts"][0]["nodes"] == ["/0/Conv", "/2/Relu"]
    assert printed["missing"] == []
    assert [row["node"] for row in printed["removed"]] == ["/7/Flatten"]


def test_every_operator_is_explained(hwnat, table, model):
    code, out, err = hwnat("predict", "--model", model, "--table", table(), "--explain")
    assert code == 0
    for part in ("/0/Conv + /2/Relu", "measured", "share", "starting a run", "after calibration"):
        assert part in out
    assert "Takes no time: /7/Flatten (another view of the same data)" in err


def test_what_cannot_be_predicted_is_named_or_left_out_on_request(hwnat, table, model):
    path = table(leave_out="dwconv")
    code, out, err = hwnat("predict", "--model", model, "--table", path)
    assert (code, out) == (3, "")
    for part in ("1 of ", "dwconv|in=1x16x16x16", "at /3/Conv + /4/Relu", "hwnat profile --device"):
        assert part in err
    assert err.count("\n") == 1
    code, out, err = hwnat("predict", "--model", model, "--table", path, "--partial")
    assert code == 3
    assert "missing" in out
    assert "sum of the predicted part" in out
    assert "1 of " in err
    code, out, _ = hwnat("predict", "--model", model, "--table", path, "--partial", "--json")
    assert code == 3
    assert json.loads(out)["missing"][0]["nodes"] == ["/3/Conv", "/4/Relu"]


def test_a_table_of_blocks_says_how_to_get_one_of_operators(hwnat, table_file, model):
    code, _, err = hwnat("predict", "--model", model, "--table", table_file)
    assert code == 3
    assert "holds blocks of mbv3-nano" in err
    assert "hwnat profile --device host-onnx --model" in err


def test_a_table_of_operators_says_that_it_wants_a_model(hwnat, table):
    code, _, err = hwnat("predict", "--genome", "0" * 23, "--table", table())
    assert code == 3
    assert "use a table of a space" in err


@pytest.mark.parametrize("options", [[], ["--genome", "0", "--model", "net.onnx"]])
def test_exactly_one_network_is_wanted(hwnat, table, options):
    code, _, err = hwnat("predict", "--table", table(), *options)
    assert code == 2
    assert "with --genome or with --model" in err


def test_a_space_is_for_genomes(hwnat, table, model):
    code, _, err = hwnat("predict", "--table", table(), "--model", model, "--space", "mbv3-nano")
    assert code == 2
    assert "--space and --classes describe a --genome" in err


def test_partial_is_for_models(hwnat, table_file):
    code, _, err = hwnat("predict", "--table", table_file, "--genome", "0" * 23, "--partial")
    assert code == 2
    assert "--partial is for a --model" in err


def test_a_model_of_another_batch_or_no_model_is_refused(hwnat, table, tmp_path):
    path = tmp_path / "batch.onnx"
    write_onnx(small_net(), (4, 3, 32, 32), path)
    code, _, err = hwnat("predict", "--model", path, "--table", table())
    assert code == 3
    assert "has batch 1, the model has batch 4" in err
    path.write_bytes(b"hello")
    code, _, err = hwnat("predict", "--model", path, "--table", table())
    assert code == 3
    assert "not an ONNX file" in err


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_a_model_is_profiled_and_predicted(hwnat, target, model, tmp_path):
    device = tmp_path / "here.toml"
    device.write_text(
        f'transport = "local"\ntarget = "{target}"\nthreads = 1\naffinity = "auto"\n'
        'precision = "fp32"\n[protocol]\nrounds = 2\nruns = 3\nwarmup = 1\nvisit_ms = 1.0\n'
    )
    args = ("profile", "--device", device, "--model", model, "--budget", 12, "--out", "t.json")
    code, out, err = hwnat(*args, "--calibration", 2, "--validation", 1, "--json")
    assert code == 0, err
    printed = json.loads(out)
    table = load_table(tmp_path / "t.json")
    assert table.granularity == "operator"
    trace = get_target(target).trace(model)
    assert {op.key for op in trace.specs} <= table.entries.keys()
    ways = {entry.provenance for entry in table.entries.values()}
    assert ways <= {"share of profile", "measured in place", "estimated"}
    assert ("measured in place" in ways) == (target == "tflite")
    code, out, err = hwnat("predict", "--table", "t.json", "--model", model, "--json")
    assert code == 0, err
    predicted = json.loads(out)
    low, high = predicted["interval_ns"]
    assert low < predicted["latency_ns"] < high
    own = next(n for n in table.calibration.networks if n.genome.startswith("model|"))
    assert predicted["latency_ns"] == pytest.approx(own.measured_ns, rel=0.5)
    again = hwnat(*args, "--calibration", 2, "--validation", 1, "--json")
    # No network is timed twice; profiles are made anew.
    assert json.loads(again[1])["reference_ns"] == printed["reference_ns"]


def test_options_of_a_space_do_not_go_with_models(hwnat, model):
    code, _, err = hwnat(
        "profile", "--device", "host-onnx", "--model", model, "--space", "mbv3-nano", "--op", "x"
    )
    assert code == 2
    assert "--space, --op cannot be combined with --model" in err
    code, _, err = hwnat("profile", "--device", "host-onnx", "--model", model, "--batch", 4)
    assert code == 2
    assert "--batch cannot be combined with --model" in err


def test_a_model_without_fixed_sizes_is_predicted_with_shape(hwnat, table, model, tmp_path):
    import onnx

    dynamic = onnx.load(model)
    for value in (*dynamic.graph.input, *dynamic.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    for dim in list(dynamic.graph.input[0].type.tensor_type.shape.dim)[2:]:
        dim.dim_param = "side"
    file = tmp_path / "dynamic.onnx"
    onnx.save(dynamic, file)
    asked = ["predict", "--table", table(), "--model"]
    _, expected, _ = hwnat(*asked, model)
    code, _, err = hwnat(*asked, file)
    assert code == 3
    assert "'input' has the dynamic shape Nx3xsidexside" in err
    assert "--shape input=1x3x224x224" in err
    for word in ("input=1x3x32x32", "1x3x32x32"):
        assert hwnat(*asked, file, "--shape", word) == (0, expected, "")
    code, _, err = hwnat(*asked, file, "--shape", "image=1x3x32x32")
    assert code == 2
    assert "no input 'image'" in err
    assert len(err.strip().splitlines()) == 1


def test_models_of_different_batches_are_refused_before_anything_is_timed(hwnat, model, tmp_path):
    other = tmp_path / "other.onnx"
    write_onnx(small_net(), (2, 3, 32, 32), other)
    store = tmp_path / "store.sqlite"
    code, _, err = hwnat(
        *("profile", "--device", "host-onnx", "--model", model, "--model", other),
        *("--store", store, "--cache", tmp_path / "cache"),
    )
    assert code == 2
    assert "net.onnx has batch 1" in err
    assert "other.onnx has batch 2" in err
    assert not store.exists()
