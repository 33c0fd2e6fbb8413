from dataclasses import replace
from pathlib import Path

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records import device
from hwnat.records.device import DeviceSpec, Npu, TimingProtocol, device_names, load_device

GOOD = 'transport = "local"\ntarget = "onnx"\n'


@pytest.mark.parametrize("target", ["onnx", "tflite", "openvino"])
def test_the_shipped_devices_are_found_from_any_folder(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load_device(f"host-{target}")
    assert (spec.target, spec.transport, spec.threads) == (target, "local", 1)
    assert f"host-{target}" in device_names()


@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u65-512", "ethos-u85-256"])
def test_npus_name_accelerator_system_and_memory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load_device(name)
    assert (spec.target, spec.precision, spec.npu.accelerator) == ("ethosu", "int8", name)
    assert spec.npu.system.startswith("Ethos_" + name.split("-")[1].upper())
    assert len(spec.npu.id) == 12
    assert replace(spec.npu, memory="Sram_Only").id != spec.npu.id


@pytest.mark.parametrize("value", ["", "-x", "a b", "a;b", "a\nb", "$(x)"])
@pytest.mark.parametrize("field", ["accelerator", "system", "memory", "config"])
def test_an_npu_is_described_by_plain_names(field, value):
    with pytest.raises(DataError, match=f"npu.{field} is"):
        Npu(**({"accelerator": "a", "system": "b", "memory": "c"} | {field: value}))


def test_a_file_of_the_working_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("devices").mkdir()
    Path("devices/host-onnx.toml").write_text(GOOD + "threads = 3\naffinity = [0, 2]\n")
    spec = load_device("host-onnx")
    assert (spec.threads, spec.affinity) == (3, (0, 2))


def test_a_path_is_read_as_it_stands(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "[protocol]\nrounds = 2\n")
    assert load_device(path) == DeviceSpec(
        name="mine", transport="local", target="onnx", protocol=TimingProtocol(rounds=2)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "thread = 1", "mine.toml: unknown key 'thread'. Did you mean 'threads'?"),
        (GOOD + "[protocol]\nround = 1", "protocol: unknown key 'round'. Did you mean 'rounds'?"),
        ('target = "onnx"', "key 'transport' is missing"),
        (GOOD + "threads = 0", "threads is 0"),
        (GOOD + 'affinity = "fast"', "affinity: expected"),
        (GOOD + "affinity = []", "not a list of distinct core numbers"),
        (GOOD + "affinity = [1, 1]", "not a list of distinct core numbers"),
        (GOOD + 'precision = "int4"', "expected one of fp32, int8"),
        (GOOD + '[npu]\naccelerator = "a"\nsystem = "b"', "npu: key 'memory' is missing"),
        (GOOD + "[protocol]\nruns = 0", "at least one round and one run"),
        (GOOD + 'name = "other"', "name is 'other'"),
        ("transport = ", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_a_usage_error_in_one_line(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        load_device(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value).split("not a TOML file")[0]


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UsageError, match="Did you mean host-onnx"):
        load_device("host-onn")


def test_a_device_without_cores_cannot_be_built():
    with pytest.raises(DataError):
        DeviceSpec(name="x", transport="local", target="onnx", affinity=())


def test_the_package_carries_the_repository_files():
    repository = Path(__file__).parents[2] / "devices"
    shipped = device.FOLDERS[-1]
    assert {p.name: p.read_text() for p in repository.glob("*.toml")} == {
        p.name: p.read_text() for p in shipped.glob("*.toml")
    }
