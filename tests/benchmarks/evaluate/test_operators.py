import json
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from evaluate.operators import evaluate_operators, predicted, read_published

from hwnat.errors import DataError, UncoveredOpError, UsageError

OPS_HEADER = "model,operation,feature,phone|gpu|float,phone|gpu|kernel"
NETS_HEADER = "model,FLOPS,size,phone|gpu|float|mean,phone|gpu|float|std"


def conv(channels, out, side=14):
    sizes = {
        "Input_shape": str(side),
        "Input_channel": channels,
        "Output_shape": str(side),
        "Stride": "1",
        "Kernel": "1",
        "Filter": str(out),
        "Group": "1",
        "FLOPS": "1",
    }
    cell = ", ".join(f"'{name}': {value!r}" for name, value in sizes.items())
    return f'CONV_2D,"{{{cell}}}"', 10 + side * side * channels * out / 50_000


@pytest.fixture(scope="module")
def published():
    """Lines of operators and of networks: sums cost 1.1 of their operators and 300 us."""
    rng = np.random.default_rng(1)
    ops, nets = [OPS_HEADER], [NETS_HEADER]
    for index in range(24):
        sizes = [int(rng.integers(1, 24)) * 8 for _ in range(int(rng.integers(4, 9)))]
        total = 0.0
        for channels, out in pairwise(sizes):
            feature, us = conv(channels, out, side=int(rng.choice([7, 14, 28])))
            us *= float(np.exp(0.01 * rng.standard_normal()))
            total += us
            ops.append(f"net-{index},{feature},{us:.4f},convolution_2d_0")
        nets.append(f"net-{index},{total * 1_000:.0f},5,{1.1 * total + 300:.3f},1.0")
    return ops, nets


@pytest.fixture
def files(tmp_path, published):
    """Write both files, lines replaced: `files(ops={3: "..."})`."""

    def write(ops=None, nets=None):
        paths = []
        for name, lines, changes in (
            ("ops.csv", published[0], ops or {}),
            ("nets.csv", published[1], nets or {}),
        ):
            path = tmp_path / name
            changed = [changes.get(number, line) for number, line in enumerate(lines, start=1)]
            path.write_text("\n".join(line for line in changed if line is not None) + "\n")
            paths.append(path)
        return paths

    return write


def test_measured_operators_give_the_networks(files):
    found = evaluate_operators(*files(), "phone", measured=True)
    assert found.n == 14
    assert found.mape < 0.02
    assert found.within5 == 1.0
    assert found.coverage90 is not None
    assert found.facts["operators"] == "measured"
    assert len(found.facts["calibrated_on"]) == 10


@pytest.mark.slow
def test_predicted_operators_do_nearly_as_well_and_plainer_methods_worse(files):
    found = evaluate_operators(*files(), "phone", calibrate=8)
    assert found.n == 16
    assert found.mape < 0.06
    base = found.baselines
    assert base["measured_operators"].mape < 0.02
    assert base["raw_sum"].bias < -0.1
    assert base["raw_sum"].mape > base["one_scale"].mape > found.mape
    assert {"flops_proportional", "random_calibration_networks"} <= set(base)
    assert {each.n for each in base.values()} == {16}
    assert found.facts["operator_mape"] < 0.1
    assert 0.8 <= found.facts["operator_coverage90"] <= 1.0
    json.dumps(asdict(found), allow_nan=False)


def test_equal_seeds_give_equal_evaluations_and_others_other_networks(files):
    paths = files()
    first, again, other = (
        evaluate_operators(*paths, "phone", seed=seed, measured=True) for seed in (3, 3, 4)
    )
    assert first == again
    assert first.facts["calibrated_on"] != other.facts["calibrated_on"]


@pytest.mark.slow
def test_no_model_sees_the_network_it_predicts(files, monkeypatch):
    from evaluate import operators

    data = read_published(*files(), "phone")
    real, trained, asked = operators.fit_samples, [], []

    class Spy:
        def __init__(self, samples):
            self.models = real(samples)

        def predict(self, ops):
            asked.append(len(ops))
            return self.models.predict(ops)

    def spy(samples, **_):
        trained.append({each.source for each in samples})
        return Spy(samples)

    monkeypatch.setattr(operators, "fit_samples", spy)
    predicted(data, seed=0)
    assert sum(asked) == len(data.samples)
    assert sum(24 - len(names) for names in trained) == 24
    assert set.intersection(*trained) == set()


def test_end_to_end_times_of_judged_networks_are_not_used(files):
    plain = evaluate_operators(*files(), "phone", measured=True)
    judged = next(f"net-{i}" for i in range(24) if f"net-{i}" not in plain.facts["calibrated_on"])
    line = 2 + int(judged.removeprefix("net-"))
    shifted = evaluate_operators(
        *files(nets={line: f"{judged},10,5,999999.0,1.0"}), "phone", measured=True
    )
    for fact in ("scale", "per_op_ns", "constant_ns", "half_width"):
        assert shifted.facts[fact] == plain.facts[fact]


def test_what_is_incomplete_is_left_out_by_name(files, published):
    blank = published[0][1].replace(published[0][1].split(",")[-2], "")
    unknown = published[0][-1].replace("CONV_2D", "SOFTMAX")
    paths = files(ops={2: blank, len(published[0]): unknown}, nets={5: None})
    found = evaluate_operators(*paths, "phone", measured=True, calibrate=5)
    assert found.n == 24 - 3 - 5
    assert found.facts["left_out"] == [
        "net-3: no end-to-end time",
        f"net-0: {paths[0]}:2: column 'phone|gpu|float' is empty",
        "net-23: operation SOFTMAX has no key",
    ]


def test_an_operator_of_a_kind_that_only_its_network_has_is_named(files):
    alone = "net-0,MEAN,\"{'Input_shape': '7', 'Input_channel': 8}\",4.0,mean_0"
    with pytest.raises(UncoveredOpError, match=r"gpool\|in=1x7x7x8"):
        evaluate_operators(*files(ops={2: alone}), "phone")


@pytest.mark.parametrize("value", ["nan", "-1", "0", "soon"])
def test_a_time_that_is_none_is_refused_with_its_place(files, value):
    feature, _ = conv(8, 8)
    with pytest.raises(DataError, match=r"ops\.csv:2: column 'phone\|gpu\|float'"):
        evaluate_operators(*files(ops={2: f"net-0,{feature},{value},k_0"}), "phone")
    with pytest.raises(DataError, match=r"nets\.csv:2: column 'phone\|gpu\|float\|mean'"):
        evaluate_operators(*files(nets={2: f"net-0,10,5,{value},1.0"}), "phone")


def test_phones_core_mixes_and_counts_that_are_not_there_are_refused(files):
    paths = files()
    with pytest.raises(UsageError, match=r"from: phone\|gpu"):
        evaluate_operators(*paths, "pixel9")
    with pytest.raises(UsageError, match=r"phone\|1large\|float"):
        evaluate_operators(*paths, "phone/1large")
    with pytest.raises(UsageError, match="Cannot calibrate on 24 of 24"):
        evaluate_operators(*paths, "phone", calibrate=24, measured=True)


def test_files_without_a_common_network_are_refused(files):
    renamed = {number: f"other-{number},10,5,9.0,1.0" for number in range(2, 26)}
    with pytest.raises(DataError, match="no network of phone"):
        evaluate_operators(*files(nets=renamed), "phone")


@pytest.mark.slow
@pytest.mark.parametrize("device", ["pixel4", "iphone7"])
def test_published_phones_are_predicted_above_a_floor(shared_data, device):
    folder = shared_data / "mobile-ml-benchmark"
    paths = folder / "tflite_cnn_ops_gpu.csv", folder / "tflite_cnn_e2e.csv"
    found = evaluate_operators(*paths, device)
    assert found.n == 92
    assert found.facts["left_out"] == []
    assert found.within10 >= 0.88
    assert found.within5 >= 0.65
    assert abs(found.bias) < 0.04
    assert found.baselines["measured_operators"].within10 >= 0.9
    assert found.mape < 0.5 * found.baselines["one_scale"].mape
