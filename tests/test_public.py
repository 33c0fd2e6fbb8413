"""The public names: one for every stage, loaded when used, short when shown."""

import inspect
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwnat
from hwnat.errors import UsageError
from hwnat.records.measurement import Measurement

GENOME = "02099999999999999999999"


@pytest.mark.parametrize("name", hwnat.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert name in dir(hwnat)
    assert getattr(hwnat, name) is not None


def test_names_that_are_not_public_are_not_listed():
    listed = {name for name in dir(hwnat) if not name.startswith("__")}
    assert listed == set(hwnat.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hwnat.nothing  # noqa: B018 - the look-up is the test


@pytest.mark.parametrize("name", ["predict", "profile", "search", "export"])
def test_a_stage_is_a_function_and_stays_a_package(name):
    """In a fresh process, whichever is used first."""
    code = f"""
import inspect, hwnat
before = inspect.signature(hwnat.{name})
import hwnat.{name}
from hwnat import {name}
assert callable({name}) and {name}.__path__
assert inspect.signature({name}) == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_version_has_one_source():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hwnat.__version__"}


def test_importing_the_package_loads_nothing():
    code = (
        "import sys; before = set(sys.modules); import hwnat; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"hwnat", "importlib", "warnings", "types", "__future__"}


def test_a_network_is_predicted_in_any_form(a_table):
    table = a_table()
    arch = hwnat.Arch.from_text(hwnat.get_space("mbv3-nano"), GENOME)
    genes = np.array(arch.genome)
    predictions = [hwnat.predict(table, form) for form in (GENOME, arch, genes, list(genes))]
    assert len({prediction.latency_ns for prediction in predictions}) == 1


def test_a_table_is_predicted_with_by_its_path(a_table, tmp_path):
    a_table().save(tmp_path / "t.json")
    wanted = hwnat.predict(a_table(), GENOME).latency_ns
    assert hwnat.predict(tmp_path / "t.json", GENOME).latency_ns == wanted


def test_a_predictor_takes_networks_in_any_form(a_table):
    predictor = hwnat.AdditivePredictor(a_table())
    arch = hwnat.Arch.from_text(predictor.space, GENOME)
    rows = np.array([arch.genome] * 2)
    wanted = predictor.latency_ns(rows)
    for networks in ([GENOME, arch], (arch, arch), [list(arch.genome)] * 2):
        assert np.array_equal(predictor.latency_ns(networks), wanted)
    assert predictor.latency_ns(GENOME) == wanted[:1]
    assert np.array_equal(predictor.estimate([GENOME, arch]).latency_ns, wanted)


@pytest.mark.parametrize("networks", [[0.5], [[1, 2]], 7, None, [None], ["x"], np.zeros((2, 22))])
def test_other_things_are_no_networks(a_table, networks):
    with pytest.raises(UsageError, match="mbv3-nano"):
        hwnat.AdditivePredictor(a_table()).latency_ns(networks)


def test_a_network_of_another_space_is_refused(a_table):
    other = hwnat.get_space("mbv3-w1.0")
    arch = hwnat.Arch(space=other, genome=tuple(map(int, other.largest())))
    with pytest.raises(UsageError, match="not a network of space mbv3-nano"):
        hwnat.predict(a_table(), arch)


def test_records_are_short_when_shown(a_table):
    table = a_table()
    predictor = hwnat.AdditivePredictor(table)
    measurement = Measurement(
        job="0" * 24,
        setup=table.setup.id,
        subject="conv",
        round=1,
        samples_ns=tuple(range(1, 1000)),
        reference_ns=tuple(range(1, 1000)),
        disturbed=0,
        started="",
        ended="",
    )
    arch = hwnat.Arch.from_text(predictor.space, GENOME)
    for record in (table, table.setup, predictor, predictor.compiled, measurement, arch):
        assert repr(record).startswith(type(record).__name__)
        assert len(repr(record)) < 120
        assert "\n" not in repr(record)
    assert repr(replace(table)) == "LatencyTable(host-onnx/onnx-fp32-mbv3-nano, 198 entries)"


def test_functions_of_stages_are_documented():
    for name in hwnat.__all__:
        if name != "__version__":
            stage = getattr(hwnat, name)
            assert inspect.getdoc(getattr(stage, "__wrapped__", stage))
