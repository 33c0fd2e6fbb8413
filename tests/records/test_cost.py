"""Costs agree digit for digit with what was published."""

import ast
import csv

import pytest
from hypothesis import given

from hwnat.records.arch import Arch
from hwnat.records.cost import op_cost, total_cost
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO, MBV3_W10, MBV3_W12


@pytest.mark.parametrize(
    ("text", "classes", "params", "macs"),
    [
        ("08011001440551052208877", 1000, 6_067_408, 222_557_600),
        ("16012006400351023002400", 196, 2_628_948, 196_999_680),
    ],
)
def test_published_networks_cost_what_was_published(text, classes, params, macs):
    cost = Arch.from_text(MBV3_W10, text).cost(classes=classes)
    assert (cost.params, cost.macs) == (params, macs)


def test_products_are_counted_as_the_published_file_name_counts_them():
    cost = Arch.from_text(MBV3_W10, "16012006400351023002400").cost(classes=196)
    assert f"{cost.macs_torchprofile / 1e6:.0f}M" == "199M"


@pytest.mark.parametrize(
    ("space", "pick", "params_m", "macs_m"),
    [
        (MBV3_W10, "smallest", "3.411", {192: "89.8", 224: "121.3", 256: "157.6"}),
        (MBV3_W10, "largest", "7.665", {192: "417.3", 224: "566.2", 256: "738.0"}),
        (MBV3_W12, "smallest", "4.602", {192: "142.8", 224: "193.1", 256: "251.1"}),
        (MBV3_W12, "largest", "10.702", {192: "621.3", 224: "843.1", 256: "1099.1"}),
    ],
)
def test_the_extremes_of_the_published_spaces(space, pick, params_m, macs_m):
    genes = getattr(space, pick)()[1:]
    for resolution, macs in macs_m.items():
        genome = (space.resolutions.index(resolution), *genes)
        cost = Arch(space=space, genome=genome).cost(classes=1000)
        assert (f"{cost.params / 1e6:.3f}", f"{cost.macs / 1e6:.1f}") == (params_m, macs)


def test_the_small_space_fits_two_cpu_cores():
    cost = Arch(space=MBV3_NANO, genome=MBV3_NANO.largest()).cost(classes=10)
    assert (cost.params, cost.macs) == (959_290, 9_170_624)
    assert cost.macs <= 12_000_000


def test_some_measured_subnets_cost_what_was_recorded(excerpts):
    rows = list(csv.DictReader((excerpts / "subnets.csv").read_text().splitlines()))
    assert len(rows) == 100
    for row in rows:
        depths, kernels, expands = (
            [int(value) for value in row[name].split()] for name in ("depths", "kernels", "expands")
        )
        subnet = {"r": int(row["resolution"]), "d": depths, "ks": kernels, "e": expands}
        cost = Arch.from_subnet(MBV3_W10, subnet).cost(classes=1000)
        assert (cost.params, cost.macs) == (int(row["params"]), int(row["macs"])), row


def test_every_measured_subnet_costs_what_was_recorded(shared_data):
    measured = sorted((shared_data / "dynast-accuracy").glob("*.csv"))
    texts = [path.read_text(encoding="utf-8") for path in measured]
    rows = [row for text in texts for row in csv.DictReader(text.splitlines())]
    assert len(rows) > 1000
    for row in rows:
        cost = Arch.from_subnet(MBV3_W10, compact(row["Sub-network"])).cost(classes=1000)
        assert (cost.params, cost.macs) == (int(row["Model Parameters"]), int(row["MACs"])), row


def compact(text):
    """Drop what a padded record holds behind each stage's depth."""
    raw = ast.literal_eval(text)
    active = [4 * stage + i for stage, depth in enumerate(raw["d"]) for i in range(depth)]
    lists = {key: [raw[key][i] for i in active] for key in ("ks", "e")}
    return {"r": raw["r"][0], "d": raw["d"], **lists}


@given(...)
def test_a_network_costs_the_sum_of_its_operations(arch: Arch):
    ops = arch.ops(classes=10)
    cost = arch.cost(classes=10)
    assert cost.params == sum(op_cost(op).params for op in ops)
    assert cost.macs == sum(op_cost(op).macs for op in ops)
    assert cost.folded_params < cost.params
    assert cost.macs_torchprofile > cost.macs


@given(...)
def test_a_batch_multiplies_the_work_and_not_the_parameters(arch: Arch):
    one = arch.cost(classes=10)
    three = total_cost(arch.ops(classes=10, batch=3))
    assert three.params == one.params
    assert (three.macs, three.macs_torchprofile) == (3 * one.macs, 3 * one.macs_torchprofile)


def test_a_fully_connected_layer_costs_its_weights_and_biases():
    cost = op_cost(OpSpec(kind="linear", in_shape=(1, 1, 1, 64), out_channels=10))
    assert (cost.params, cost.folded_params, cost.macs) == (650, 650, 640)


def test_nothing_costs_nothing():
    assert total_cost([]).macs == 0


@pytest.mark.parametrize(
    ("key", "params", "macs"),
    [
        ("conv|in=1x8x8x16|out=32|k=3|s=2|act=relu|float32", 16 * 32 * 9 + 64, 16 * 32 * 9 * 16),
        ("conv|in=1x8x8x16|out=32|k=3|s=2|act=relu|g=4|float32", 4 * 32 * 9 + 64, 4 * 32 * 9 * 16),
        ("conv|in=1x8x8x16|out=32|k=1|s=1|act=none|kw=7|o=8x2|float32", 3584 + 64, 3584 * 16),
        ("dwconv|in=2x8x8x16|out=16|k=5|s=1|act=relu|float32", 25 * 16 + 32, 25 * 16 * 128),
        ("linear|in=1x1x7x16|out=8|float32", 16 * 8 + 8, 16 * 8 * 7),
        ("matmul|in=1x4x7x16|out=8|float32", 0, 16 * 8 * 28),
        ("add|in=1x8x8x16|act=none|n=2|float32", 0, 0),
        ("conv|in=1x8x8x16|out=32|k=3|s=2|act=relu|sw=1|float32", 4608 + 64, 4608 * 32),
        ("linear|in=1x1x7x16|out=8|w=int8|float32", 16 * 8 + 8, 16 * 8 * 7),
        ("sdpa|in=1x4x50x16|mid=40|out=8|float32", 0, 4 * 50 * 40 * 24),
        ("lstm|in=1x1x20x64|out=32|n=2|float32", 2 * 128 * 98, 2 * 128 * 96 * 20),
        ("gru|in=1x1x20x64|out=32|n=1|float32", 96 * 98, 96 * 96 * 20),
    ],
)
def test_an_operator_costs_its_weights_and_products(key, params, macs):
    cost = op_cost(OpSpec.from_key(key))
    assert (cost.params, cost.macs) == (params, macs)
