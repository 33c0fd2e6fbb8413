from dataclasses import replace

import pytest

from hwnat.errors import UsageError
from hwnat.records.device import load_device
from hwnat.table.calibrate import Calibration
from hwnat.table.entry import Origin
from hwnat.table.lookup import default_path, load_table
from hwnat.table.place import check_place, kind_of, planned_path, save_table


def test_a_table_of_the_same_kind_is_replaced(a_table, tmp_path):
    path = tmp_path / "t.json"
    save_table(a_table(), path)
    newer = a_table(created="2027-01-01T00:00:00Z")
    save_table(newer, path)
    assert load_table(path) == newer


def test_a_table_of_more_resolutions_replaces_one_of_fewer(a_table, tmp_path):
    path = tmp_path / "t.json"
    save_table(a_table(resolutions=(24,)), path)
    save_table(a_table(resolutions=(24, 32)), path)
    assert load_table(path).resolutions == (24, 32)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"classes": 37}, "class count 10, not 37"),
        ({"resolutions": (24, 28)}, "resolutions 32 as well"),
        ({"cpu": "another CPU"}, "CPU a CPU, not another CPU"),
        ({"threads": 2}, "thread count 1, not 2"),
        ({"target": "tflite"}, "target onnx, not tflite"),
        ({"precision": "int8"}, "precision fp32, not int8"),
        ({"device": "phone"}, "device host-onnx, not phone"),
    ],
)
def test_a_table_of_another_kind_is_kept_unless_it_may_be_replaced(
    a_table, a_setup, tmp_path, what, words
):
    path = tmp_path / "t.json"
    save_table(a_table(), path)
    before = path.read_bytes()
    setup = a_setup()
    if "cpu" in what:
        setup = replace(setup, host=replace(setup.host, cpu=what["cpu"]))
    elif not what.keys() & {"classes", "resolutions"}:
        setup = replace(setup, **what)
    table_changes = {key: what[key] for key in what if key in ("classes", "resolutions")}
    other = a_table(setup=setup, **table_changes)
    with pytest.raises(UsageError, match=words) as refused:
        save_table(other, path)
    assert "--out" in str(refused.value)
    assert "t-2.json" in str(refused.value)
    assert path.read_bytes() == before
    save_table(other, path, force=True)
    assert load_table(path) == other


@pytest.mark.parametrize("content", [b"", b"my thesis", b"{}", b"\xff\xfe"])
def test_a_file_that_is_no_table_is_kept_unless_it_may_be_replaced(a_table, tmp_path, content):
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="replace it with --force"):
        save_table(a_table(), path)
    assert path.read_bytes() == content
    save_table(a_table(), path, force=True)


def test_imports_of_one_file_after_another_lose_nothing(a_table, tmp_path):
    path = tmp_path / "t.json"
    whole = a_table(
        protocol=None,
        reference_ns=None,
        origin=Origin(format="ofa-yaml", files={"a.yaml": "0" * 64}, unit="ms", left_out={}),
    )
    some = replace(whole, entries=dict(list(whole.entries.items())[:3]))
    save_table(some, path)
    save_table(whole, path)
    with pytest.raises(UsageError, match="Import all files with one command"):
        save_table(some, path)
    assert load_table(path) == whole


def test_a_plan_is_compared_before_anything_is_measured(a_table, tmp_path):
    path = tmp_path / "t.json"
    assert check_place(path, {"class count": 37}, resolutions=()) is None
    save_table(a_table(), path)
    with pytest.raises(UsageError, match="class count 10, not 37"):
        check_place(path, {"class count": 37}, resolutions=(24, 28, 32))
    assert check_place(path, kind_of(a_table()), resolutions=(24, 28, 32)) == a_table()


def test_a_planned_path_is_the_path_of_the_table(a_table, a_setup):
    device = load_device("host-onnx")
    table = a_table(setup=a_setup(device=device.name, precision=device.precision))
    assert planned_path(device, "mbv3-nano") == default_path(table)


def test_operators_of_other_models_are_not_dropped_silently(a_table, tmp_path):
    path = tmp_path / "operators.json"
    whole = a_table()
    operators = replace(whole, granularity="operator", space=None, classes=None, resolutions=())
    save_table(operators, path)
    save_table(operators, path)  # the same models again
    kept = dict(list(operators.entries.items())[1:])
    fewer = replace(operators, entries=kept, calibration=Calibration(), validation=())
    with pytest.raises(UsageError, match=r"holds 1 operators that these models lack.*--out"):
        save_table(fewer, path)
    assert load_table(path) == operators
    save_table(fewer, path, force=True)
    assert load_table(path) == fewer
