"""Whatever is wrong: one line with thing, place and remedy, an exit code, nothing written."""

import json

import numpy as np
import pytest

from hwnat.records.space import MBV3_W10

LARGEST = "02099999999999999999999"
SEARCH = ("search", "--objective", "error", "--objective", "macs", "--run", "new", "--data")
PROFILE = ("profile", "--space", "mbv3-nano", "--device")
DEVICE = 'transport = "local"\ntarget = "onnx"\n'


@pytest.fixture
def refused(hwnat, tmp_path):
    """Run a command that must fail; return its line on stderr."""

    def run(code, *args):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        status, out, err = hwnat(*args)
        assert (status, out) == (code, "")
        assert err.startswith("hwnat: ")
        assert err.count("\n") == 1
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return err

    return run


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["serch"], "Did you mean 'search'? See: hwnat --help"),
        (["arch", "shw"], "Did you mean 'show'? See: hwnat arch --help"),
        (["arch", "show", "--space", "mbv3-nano", "--genom", "1"], "Did you mean '--genome'"),
        (["arch", "show", "--space", "mbv3-nano"], "Missing option '--genome'"),
        (["search", "--data", "digits"], "Missing option '--objective'"),
        ([*SEARCH, "digits", "--threads", "0"], "'--threads': 0 is not in the range x>=1"),
        ([*SEARCH, "digits", "--seed", "-1"], "'--seed': -1"),
        ([*SEARCH, "digits", "--calibration", "0"], "'--calibration': 0"),
        (["demo", "--threads", "x"], "'--threads': 'x' is not a valid integer"),
    ],
)
def test_an_invalid_command_points_to_its_help(refused, args, words):
    err = refused(2, *args)
    assert words in err
    assert err.endswith("--help\n")


@pytest.mark.parametrize(
    ("genome", "words"),
    [
        ("1", "written with 23 digits"),
        ("9" * 23, "Gene 0 of a mbv3-nano genome is 99; it must lie in 0..2"),
        ("0200" + "9" * 19, "Gene 2 of a mbv3-nano genome is 0; it must lie in 1..9"),
        ("x" * 23, "written with 23 digits"),
    ],
)
def test_a_genome_of_another_length_or_range_names_the_gene(refused, genome, words):
    args = ("--space", "mbv3-nano", "--classes", "10", "--genome", genome)
    assert words in refused(2, "arch", "show", *args)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DEVICE + "thread = 2\n", "unknown key 'thread'. Did you mean 'threads'?"),
        (DEVICE + "[protocol]\nround = 2\n", "unknown key 'round'. Did you mean 'rounds'?"),
        (DEVICE + "threads = 0\n", "must be at least 1"),
        (DEVICE + 'threads = "two"\n', "expected int"),
        ('transport = "local"\n', "key 'target' is missing"),
        ('target = "onyx"\ntransport = "local"\n', "Did you mean onnx?"),
        ('target = "onnx"\ntransport = "locl"\n', "Unknown transport 'locl'. Did you mean local?"),
        ("threads =", "not a TOML file"),
    ],
)
def test_a_wrong_device_file_names_the_key(refused, tmp_path, text, words):
    (tmp_path / "board.toml").write_text(text)
    assert words in refused(2, *PROFILE, "board.toml")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["host-onnx", "--resolution", "25"], 2, "no resolution 25; it has 24, 28, 32"),
        (["host-onnx", "--op", "bogus"], 3, "Not an operation key: 'bogus'"),
        (["host-onnx", "--budget", "3"], 2, "A budget of 3 timings is too small"),
        (["host-onnx", "--store", "/proc/none/store"], 2, "Cannot open store /proc/none/store"),
        (["host-onnxx"], 2, "Did you mean host-onnx?"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_before_measuring(refused, args, code, words):
    assert words in refused(code, *PROFILE, *args)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.999])
def test_a_truncated_table_is_refused(refused, table_file, share):
    text = table_file.read_text()
    table_file.write_text(text[: int(share * len(text))])
    for args in (["predict", "--genome", LARGEST, "--table"], ["table", "show"]):
        assert str(table_file) in refused(3, *args, table_file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "schema 99; this hwnat reads 2. Build it again with: hwnat table build"),
        ({"classes": 11}, "it was edited or damaged. Build it again with: hwnat table build"),
        ({"bogus": 1}, "unknown key 'bogus'"),
    ],
)
def test_a_table_of_another_schema_or_content_is_refused(refused, table_file, change, words):
    table_file.write_text(json.dumps(json.loads(table_file.read_text()) | change))
    assert words in refused(3, "predict", "--genome", LARGEST, "--table", table_file)


def test_a_table_of_another_space_is_refused(refused, a_table, halves, run_folder, tmp_path):
    path = tmp_path / "other.json"
    a_table(MBV3_W10, (192,), classes=2).save(path)
    latency = ("--objective", f"latency@{path}")
    assert "mbv3-w1.0" in refused(3, *SEARCH, halves, *latency)
    export = ("export", "--run", run_folder, "--to", "onnx", "--table", path)
    assert "mbv3-w1.0" in refused(3, *export)


def test_a_table_must_belong_to_what_is_exported(refused, run_folder, table_file):
    export = ("export", "--run", run_folder, "--table", table_file)
    assert "for target onnx, which is not exported" in refused(2, *export, "--to", "tflite")
    assert "the second table of target onnx" in refused(
        2, *export, "--to", "onnx", "--table", table_file
    )


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((0, 4, 4), np.uint8), "y": np.zeros(0, int)}, "holds no images"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(2, int)}, "too few"),
        ({"z": np.zeros(2)}, "expected x_train, y_train, x_test, y_test or x, y"),
    ],
)
def test_an_empty_or_foreign_npz_is_refused(refused, tmp_path, arrays, words):
    np.savez(tmp_path / "set.npz", **arrays)
    assert words in refused(3, *SEARCH, "set.npz")


def test_a_damaged_npz_is_refused(refused, tmp_path, halves):
    whole, path = halves.read_bytes(), tmp_path / "set.npz"
    flipped = bytearray(whole)
    flipped[1000:1100] = b"x" * 100
    for content in (b"", b"hello", whole[:5000], whole[:-5], bytes(flipped)):
        path.write_bytes(content)
        assert "set.npz is not a readable .npz file" in refused(3, *SEARCH, path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "set.npz is not a readable .npz file" in refused(3, *SEARCH, path)


def test_folders_without_enough_images_are_refused(refused, tmp_path):
    from PIL import Image

    (tmp_path / "set" / "a").mkdir(parents=True)
    assert "set holds no images" in refused(3, *SEARCH, "set")
    Image.new("RGB", (8, 8)).save(tmp_path / "set/a/1.png")
    assert "1 images are too few to hold some out" in refused(3, *SEARCH, "set")
    (tmp_path / "set/a/2.png").write_bytes((tmp_path / "set/a/1.png").read_bytes()[:40])
    assert "2.png is not a readable image" in refused(3, *SEARCH, "set")
    assert "No data set at 'nowhere'" in refused(2, *SEARCH, "nowhere")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--space", "mbv3-nan"], "Did you mean mbv3-nano?"),
        (["--space", "mbv3-w1.0"], "Train some: hwnat supernet train --help"),
        (["--weights", "nowhere.safetensors"], "No weights at 'nowhere.safetensors'; shipped: "),
        (["--objective", "speed"], "Unknown objective 'speed'. Write one of"),
        (["--objective", "macs"], "objectives, each once"),
        (["--limit", "macs<5"], "Cannot read limit 'macs<5'. Write for example"),
        (["--limit", "macs<=5ms"], "macs is given with"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_it_begins(refused, halves, args, words):
    assert words in refused(2, *SEARCH, halves, *args)


@pytest.mark.slow
def test_a_limit_no_network_meets_says_what_would_do(refused, halves, run_folder):
    weights = ("--weights", run_folder / "supernet.safetensors")
    err = refused(2, *SEARCH, halves, *weights, "--limit", "macs<=1K", "--initial", "4")
    assert "No network within the limits" in err
    assert "try macs<=" in err


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9999])
def test_damaged_weights_are_refused(refused, halves, run_folder, share):
    path = run_folder / "supernet.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "supernet.safetensors is not a readable weights file" in refused(
        3, "export", "--run", run_folder
    )
    assert "make one: hwnat supernet train" in refused(3, "supernet", "info", path)
    assert "supernet.safetensors" in refused(3, *SEARCH, halves, "--weights", path)


@pytest.mark.parametrize("header", [{}, {"schema": "1"}, {"schema": "1", "space": "mbv3-nano"}])
def test_tensors_of_another_program_are_no_weights(refused, halves, tmp_path, header):
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata=header)
    assert "w.safetensors: weights" in refused(3, *SEARCH, halves, "--weights", "w.safetensors")


def test_a_model_file_is_no_weights_file(refused, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07\x12\x07pytorch" * 40)
    assert "model.onnx is not a readable weights file" in refused(
        3, "supernet", "info", "model.onnx"
    )


def test_data_of_other_classes_than_the_weights_is_refused(refused, run_folder, tmp_path):
    np.savez(tmp_path / "three.npz", x=np.zeros((30, 4, 4), np.uint8), y=np.arange(30) % 3)
    weights = run_folder / "supernet.safetensors"
    err = refused(3, "supernet", "info", weights, "--data", "three.npz")
    assert "The weights are for 2 classes, but three.npz has 3" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--pick", "7"], "Cannot pick '7': say knee, fastest, most-accurate or a number from 0"),
        (["--pick", "../x"], "Cannot pick '../x'"),
        (["--to", "bogus"], "Unknown target 'bogus'. Known: ethosu, onnx, onnx-cuda"),
        (["--to", "onnx,tflit"], "Did you mean tflite?"),
        (["--to", ""], "--to names no target. Known targets: ethosu, onnx, onnx-cuda"),
        (["--to", " , "], "--to names no target"),
        (["--to", "onnx", "--out", "/proc/none"], "/proc/.none.lock: No such file or directory"),
        (["--run", "nowhere"], "nowhere holds no finished search; run: hwnat search --run nowhere"),
    ],
)
def test_an_export_that_cannot_be_writes_nothing(refused, run_folder, args, words):
    assert words in refused(2, "export", "--run", run_folder, *args)


def test_a_run_folder_of_another_configuration_is_refused(refused, run_folder, halves):
    weights = run_folder / "supernet.safetensors"
    err = refused(2, *SEARCH, halves, "--run", run_folder, "--weights", weights, "--seed", "1")
    assert "holds a search with other settings" in err
    assert "seed" in err


@pytest.mark.parametrize("name", ["config.json", "front.json"])
@pytest.mark.parametrize("text", ["", "{", "[1]", '{"schema": 9}'])
def test_a_damaged_run_folder_names_the_file(refused, run_folder, name, text):
    (run_folder / name).write_text(text)
    assert name in refused(3, "export", "--run", run_folder)


def test_places_that_cannot_be_written_are_named(refused, halves, tmp_path, run_folder):
    (tmp_path / "taken").write_text("a file")
    train = ("supernet", "train", "--data", halves, "--out")
    assert "Cannot write /proc/none/w" in refused(2, *train, "/proc/none/w")
    assert "run is a folder; name the file" in refused(2, *train, run_folder)
    export = ("export", "--run", run_folder, "--to", "onnx", "--out", "taken")
    assert "taken: File exists" in refused(2, *export)
