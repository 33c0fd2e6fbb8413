import pytest
import torch
from torch import nn

from hwnat.errors import DataError
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3_NANO
from hwnat.supernet.accuracy import Evaluator, calibration_images, recalibrate, top1


def test_recalibration_is_the_weighted_mean_of_batch_statistics():
    network = nn.Sequential(nn.BatchNorm2d(2)).eval()
    batches = [torch.rand(3, 2, 4, 4), 5 + torch.rand(1, 2, 4, 4)]
    recalibrate(network, batches)
    means = [batch.mean((0, 2, 3)) for batch in batches]
    variances = [batch.var((0, 2, 3), correction=0) for batch in batches]
    assert torch.allclose(network[0].running_mean, (3 * means[0] + means[1]) / 4)
    assert torch.allclose(network[0].running_var, (3 * variances[0] + variances[1]) / 4)


def test_a_later_norm_sees_what_batch_statistics_make_of_the_earlier_one():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1)).eval()
    recalibrate(network, [7 + 3 * torch.rand(8, 1, 4, 4)])
    assert abs(float(network[1].running_mean)) < 1e-5
    assert abs(float(network[1].running_var) - 1) < 1e-3


def test_top1_counts_what_is_right(halves):
    class Side(nn.Module):
        def forward(self, x):
            half = x.shape[-1] // 2
            return torch.stack([x[..., :half].sum((1, 2, 3)), x[..., half:].sum((1, 2, 3))], 1)

    assert top1(Side(), halves, halves.test, 24) == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_no_numbers_are_no_accuracy(halves, value):
    class Broken(nn.Module):
        def forward(self, x):
            logits = torch.zeros(len(x), 2)
            logits[-1, 1] = value
            return logits

    with pytest.raises(DataError, match="values of outputs are not numbers"):
        top1(Broken(), halves, halves.test, 24)


def test_statistics_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="running_mean are not numbers"):
        recalibrate(nn.Sequential(nn.BatchNorm2d(1)), [torch.full((2, 1, 4, 4), float("inf"))])


def test_evaluation_never_changes_the_shared_weights(untrained, halves):
    before = {name: tensor.clone() for name, tensor in untrained.state_dict().items()}
    evaluator = Evaluator(untrained, halves, calibration=20)
    arch = Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())
    first, again = evaluator.error(arch), evaluator.error(arch)
    assert first == again
    assert all(torch.equal(before[name], t) for name, t in untrained.state_dict().items())


def test_calibration_images_come_from_the_seed(halves):
    assert torch.equal(
        calibration_images(halves, count=9, seed=1), calibration_images(halves, count=9, seed=1)
    )
    assert not torch.equal(
        calibration_images(halves, count=9, seed=1), calibration_images(halves, count=9, seed=2)
    )
