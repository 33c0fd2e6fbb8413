"""A lab host installs what it needs and no framework; importing must not ask for one."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import hwnat
from hwnat import records

LIGHT = ("errors", "plugins", "records", "transport", "table", "data", "check")
HEAVY = ("torch", "onnx", "onnxruntime", "openvino", "ai_edge_litert", "pymoo", "scipy", "sklearn")


def modules():
    """Every module of the light packages; packages that do not exist add none."""
    found = [info.name for info in pkgutil.walk_packages(hwnat.__path__, "hwnat.")]
    return ["hwnat", *(name for name in found if name.split(".")[1] in LIGHT)]


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_light_modules_are_found():
    assert {"hwnat.errors", "hwnat.plugins", "hwnat.records.op"} <= set(modules())
    assert {f"hwnat.records.{info.name}" for info in pkgutil.iter_modules(records.__path__)} <= set(
        modules()
    )


def test_the_check_sees_a_framework():
    assert "scipy" in loaded_by("import scipy")


@pytest.mark.parametrize("name", modules())
def test_importing_loads_no_framework(name):
    assert not loaded_by(f"import {name}") & set(HEAVY)


def test_the_package_loads_a_table_and_nothing_before_it_is_asked():
    assert "numpy" not in loaded_by("import hwnat")
    assert hwnat.load_table is import_module("hwnat.table.lookup").load_table
    with pytest.raises(AttributeError, match="nothing"):
        hwnat.nothing  # noqa: B018
