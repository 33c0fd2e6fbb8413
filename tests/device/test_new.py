"""A device file written from what is attached: readable, commented, never overwritten."""

import tomllib
from contextlib import closing
from dataclasses import replace

import pytest

from hwnat.device.new import describe, describe_local, write_new
from hwnat.errors import UsageError
from hwnat.records.device import DeviceSpec, load_device, read_device
from hwnat.transport.base import connect


def same(spec, path):
    return read_device(path).spec == spec


def test_a_phone_is_described_by_its_own_serial(android_phone, tmp_path):
    spec = DeviceSpec(
        name="my-phone", transport="adb", target="tflite", serial=android_phone.serial
    )
    with closing(connect(spec)) as link:
        device = describe(spec, link)
    path = write_new(device, tmp_path / "devices")
    assert path.name == "my-phone.toml"
    assert same(device.spec, path)
    assert device.spec.serial == android_phone.serial
    assert (device.spec.target, device.runner.runtime) == ("tflite", None)
    assert "hwnat device setup my-phone" in device.runner.problem
    assert "Cortex-X1" in device.spec.about
    assert "# Cores to pin to: auto picks fast ones. This device has 0, 1, 2, 3 (Cortex-A55)" in (
        device.text
    )


def test_a_board_gets_the_runner_that_works_there(linux_board, tmp_path):
    address = linux_board.address()
    spec = DeviceSpec(name="pi", target="tflite", **address)
    with closing(connect(spec)) as link:
        device = describe(spec, link)
    assert device.spec.runner == (device.runner.runner if device.runner else "litert")
    assert same(device.spec, write_new(device, tmp_path))


def test_an_unknown_target_of_a_board_is_refused(linux_board):
    spec = DeviceSpec(name="pi", target="tflite", **linux_board.address())
    with closing(connect(spec)) as link, pytest.raises(UsageError, match="No runner is known"):
        describe(spec, link, target="torch-cuda")


def test_this_machine_is_described(tmp_path):
    spec = DeviceSpec(name="here", transport="local", target="onnx")
    device = describe_local(spec, connect(spec))
    path = write_new(device, tmp_path)
    assert same(device.spec, path)
    assert load_device(path).about
    assert tomllib.loads(path.read_text())["protocol"]["rounds"] == spec.protocol.rounds


def test_a_file_is_not_overwritten(tmp_path):
    spec = DeviceSpec(name="here", transport="local", target="onnx")
    device = describe_local(spec, connect(spec))
    path = write_new(device, tmp_path)
    before = path.read_text()
    with pytest.raises(UsageError, match="is not overwritten"):
        write_new(replace(device, text="other"), tmp_path)
    assert path.read_text() == before
