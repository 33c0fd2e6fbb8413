"""A lab host installs what it needs and no framework; importing must not ask for one."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import hwnat
from hwnat import records

LIGHT = ("errors", "plugins", "records", "transport", "table", "device", "remote", "data", "check")
#: Light too, but its modules need pytest; see `test_the_suites_need_no_framework`.
SUITES = "testing"
HEAVY = {
    *("torch", "onnx", "onnxruntime", "onnxscript", "openvino", "ai_edge_litert", "tensorflow"),
    *("pymoo", "scipy", "sklearn"),
}
#: Modules that `import hwnat` may load beyond those of an empty interpreter.
FEW = 25


def modules(*packages):
    """List the modules of some packages of hwnat; a package that does not exist adds none."""
    names = [info.name for info in pkgutil.walk_packages(hwnat.__path__, "hwnat.")]
    return [name for name in names if name.split(".")[1] in packages]


def modules_loaded_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def packages_loaded_by(statement):
    return {name.partition(".")[0] for name in modules_loaded_by(statement)}


def test_light_modules_are_found():
    light = set(modules(*LIGHT))
    assert {"hwnat.errors", "hwnat.plugins", "hwnat.records.op", "hwnat.device.probe"} <= light
    assert {
        f"hwnat.records.{info.name}" for info in pkgutil.iter_modules(records.__path__)
    } <= light
    assert "hwnat.testing.targets" in modules(SUITES)


def test_the_check_sees_a_framework():
    assert "scipy" in packages_loaded_by("import scipy")


@pytest.mark.parametrize("name", ["hwnat", *modules(*LIGHT)])
def test_importing_loads_no_framework(name):
    assert not packages_loaded_by(f"import {name}") & HEAVY


def test_the_suites_need_no_framework():
    everything = "; ".join(f"import {name}" for name in modules(SUITES))
    assert not packages_loaded_by(everything) & HEAVY
    assert "pytest" not in packages_loaded_by("import hwnat.testing")


def test_importing_the_package_loads_next_to_nothing():
    extra = modules_loaded_by("import hwnat") - modules_loaded_by("pass")
    assert len(extra) <= FEW, sorted(extra)


def test_the_package_loads_a_table_and_nothing_before_it_is_asked():
    assert "numpy" not in packages_loaded_by("import hwnat")
    assert hwnat.load_table is import_module("hwnat.table.lookup").load_table
    with pytest.raises(AttributeError, match="nothing"):
        hwnat.nothing  # noqa: B018
