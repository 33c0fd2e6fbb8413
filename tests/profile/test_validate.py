from dataclasses import replace
from pathlib import Path

import pytest

from hwnat.errors import TableMismatchError
from hwnat.profile.measure import profile
from hwnat.profile.plan import make_plan
from hwnat.profile.validate import validate
from hwnat.records.device import DeviceSpec, TimingProtocol
from hwnat.records.space import MBV3_NANO

DEVICE = DeviceSpec(
    name="stub",
    transport="local",
    target="stub",
    protocol=TimingProtocol(rounds=2, runs=2, warmup=0, visit_ms=0.5),
)


@pytest.fixture
def table(installed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    installed("hwnat.targets", stub="stub_target:StubTarget")
    plan = make_plan(MBV3_NANO, [24], calibration=10, validation=0)
    return profile(DEVICE, plan, store=tmp_path / "s.sqlite", cache=tmp_path / "models")


def test_unseen_networks_are_timed_beside_plainer_methods(table, tmp_path):
    told = []
    found = validate(
        table,
        networks=6,
        seed=3,
        cache=tmp_path / "models",
        progress=lambda *what: told.append(what),
    )
    assert found.n == 6
    assert 0 <= found.coverage90 <= 1
    assert set(found.baselines) == {"raw_sum", "one_scale", "flops_proportional"}
    assert found.facts["table_id"] == table.table_id
    assert told[-1] == ("measure", 32, 32)
    seen = {each.genome for each in table.calibration.networks}
    again = validate(table, networks=6, seed=3, cache=tmp_path / "models")
    assert again.n == 6
    assert len(seen) == 10


def test_a_table_of_another_machine_is_not_validated_here(table, tmp_path):
    other = replace(table.setup, host=replace(table.setup.host, cpu="another"))
    with pytest.raises(TableMismatchError, match="was measured on another"):
        validate(replace(table, setup=other), networks=2, seed=0, cache=tmp_path)


def test_a_table_of_another_device_of_the_same_kind_is_not_validated_here(table, tmp_path):
    for unit in ({"serial": "0123456789ab"}, {"board": "Another 8"}):
        other = replace(table.setup, host=replace(table.setup.host, **unit))
        with pytest.raises(TableMismatchError, match="another device of its kind") as caught:
            validate(replace(table, setup=other), networks=2, seed=0, cache=tmp_path)
        assert "0123456789ab" not in str(caught.value)


def test_an_imported_table_says_that_nothing_is_timed_on_its_scale(a_table, tmp_path):
    imported = replace(a_table(), protocol=None, reference_ns=None)
    with pytest.raises(TableMismatchError, match="was not measured by hwnat"):
        validate(imported, networks=2, seed=0, cache=tmp_path)


def test_a_table_of_operators_has_no_networks_to_draw(table, tmp_path):
    with pytest.raises(TableMismatchError, match="no particular space"):
        validate(replace(table, space=None, classes=None), networks=2, seed=0, cache=tmp_path)
