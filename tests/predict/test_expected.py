import numpy as np
import pytest
import torch

from hwnat.errors import UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.expected import ExpectedLatency
from hwnat.records.space import MBV3


def probabilities(rng, *shape):
    return torch.tensor(rng.dirichlet(np.ones(shape[-1]), shape[:-1]))


def test_one_hot_probabilities_give_the_latency_of_their_network(a_table):
    predictor = AdditivePredictor(a_table(MBV3, (192, 224)))
    costs, rng = predictor.slot_costs(), np.random.default_rng(0)
    genomes = MBV3.sample(50, rng=rng)
    genomes[:, 0] = rng.choice([0, 8], 50)
    expected = ExpectedLatency(costs)(
        torch.nn.functional.one_hot(torch.tensor(genomes[:, 2:]), 10).double(),
        torch.nn.functional.one_hot(torch.tensor(costs.corner(genomes)), 4).double(),
    )
    assert expected.shape == (50,)
    assert expected.numpy() == pytest.approx(predictor.latency_ns(genomes), rel=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_mean_over_repaired_draws(some_costs, seed):
    rng = np.random.default_rng(seed)
    costs = some_costs(rng, stages=1)
    p, w = probabilities(rng, 4, 3), probabilities(rng, 4)
    blocks = np.indices((3, 3, 3, 3)).reshape(4, -1).T
    chance = p.numpy()[np.arange(4), blocks].prod(axis=1)
    mean = 0.0
    for head, weight in zip(costs.heads, w.tolist(), strict=True):
        genomes = costs.space.repair(np.hstack([np.tile(head, (len(blocks), 1)), blocks]))
        mean += weight * float(chance @ costs.latency_ns(genomes))
    assert ExpectedLatency(costs)(p, w).item() == pytest.approx(mean, rel=1e-12)


def test_its_gradient_is_right(some_costs):
    rng = np.random.default_rng(0)
    latency = ExpectedLatency(some_costs(rng, most=10))
    p, w = probabilities(rng, 2, 8, 3).requires_grad_(), probabilities(rng, 4).requires_grad_()
    assert torch.autograd.gradcheck(latency, (p, w))


def test_descending_it_finds_the_fastest_network(some_costs, every_genome):
    costs = some_costs(np.random.default_rng(1), resolutions=(24,), widths=(0,))
    latency, logits = ExpectedLatency(costs), torch.zeros(8, 3, dtype=torch.float64)
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(150):
        optimiser.zero_grad()
        latency(logits.softmax(-1)).backward()
        optimiser.step()
    fastest = costs.latency_ns(every_genome(costs)).min()
    assert latency(logits.softmax(-1)).item() == pytest.approx(fastest, rel=0.01)


def test_half_precision_does_not_overflow(some_costs):
    costs = some_costs(np.random.default_rng(0), resolutions=(24,), widths=(0,), most=1_000_000)
    p = torch.full((8, 3), 1 / 3)
    expected = ExpectedLatency(costs)(p.double()).item()
    assert expected > 1e6
    half = ExpectedLatency(costs).half()(p.half())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(expected, rel=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ExpectedLatency(costs)(p).item() == pytest.approx(expected, rel=1e-6)


def test_there_is_nothing_to_train_or_to_save(some_costs):
    latency = ExpectedLatency(some_costs(np.random.default_rng(0)))
    assert not list(latency.parameters())
    assert not latency.state_dict()


def test_other_shapes_are_refused(some_costs):
    latency = ExpectedLatency(some_costs(np.random.default_rng(0)))
    with pytest.raises(UsageError, match=r"\(…, 8, 3\); got \(8, 4\)"):
        latency(torch.ones(8, 4), torch.ones(4))
    with pytest.raises(UsageError, match=r"weights \(…, 4\); got none"):
        latency(torch.ones(8, 3))
    with pytest.raises(UsageError, match=r"weights \(…, 4\); got \(3,\)"):
        latency(torch.ones(8, 3), torch.ones(3))
