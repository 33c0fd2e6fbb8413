"""Plug-ins are found by name; a wrong name is answered with the right ones."""

import pytest

from hwnat import plugins
from hwnat.errors import UsageError
from hwnat.records.space import MBV3_NANO


def test_the_built_in_plugins_use_the_public_groups():
    assert plugins.names("hwnat.spaces") == ("mbv3", "mbv3-nano", "mbv3-w1.0", "mbv3-w1.2")
    targets = ("ethosu", "onnx", "onnx-cuda", "openvino", "tflite", "torch-cuda")
    assert plugins.names("hwnat.targets") == targets
    assert plugins.names("hwnat.transports") == ("adb", "local", "replay", "ssh")


def test_a_plugin_is_loaded_by_its_name():
    assert plugins.load("hwnat.spaces", "mbv3-nano") is MBV3_NANO


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in ("hwnat.spaces", "hwnat.targets", "hwnat.transports")
        for name in plugins.names(group)
    ],
)
def test_every_registered_plugin_loads(group, name):
    assert plugins.load(group, name) is not None


def test_a_misspelt_name_is_answered_with_the_nearest_and_all_known_ones():
    with pytest.raises(UsageError, match=r"Unknown space 'mbv3-nan0'. Did you mean mbv3-nano\?"):
        plugins.load("hwnat.spaces", "mbv3-nan0")


def test_a_group_without_plugins_knows_none():
    assert plugins.names("hwnat.nothing") == ()
    with pytest.raises(UsageError, match="Known: none"):
        plugins.load("hwnat.nothing", "x")


def test_a_third_party_plugin_is_found_beside_the_built_in_ones(installed):
    installed("hwnat.targets", toy="fractions:Fraction")
    assert "toy" in plugins.names("hwnat.targets")
    assert plugins.load("hwnat.targets", "toy").__name__ == "Fraction"


@pytest.mark.parametrize("value", ["no_such_module:X", "fractions:NoSuchName"])
def test_a_broken_plugin_is_named_with_where_it_comes_from(installed, value):
    installed("hwnat.targets", toy=value)
    with pytest.raises(UsageError, match=rf"target 'toy' \({value}\) does not load"):
        plugins.load("hwnat.targets", "toy")
