import pytest
import torch

from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3_NANO
from hwnat.supernet.accuracy import Evaluator
from hwnat.supernet.adapt import Adapter
from hwnat.supernet.network import Supernet
from hwnat.supernet.train import Recipe, Trainer, load_state, sandwich, save_state, train

RECIPE = Recipe(epochs=2, batch=20, learning_rate=0.05)


def smallest(_rng):
    return [Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())]


def states(supernet):
    return {name: tensor.clone() for name, tensor in supernet.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_sandwich_holds_both_extremes_at_one_resolution(untrained):
    import numpy as np

    largest, small, drawn = sandwich(untrained)(np.random.default_rng(0))
    assert largest.genome[2:] == MBV3_NANO.largest()[2:]
    assert small.genome[2:] == MBV3_NANO.smallest()[2:]
    assert largest.resolution == small.resolution == drawn.resolution


def test_training_learns_and_writes_whole_weights(untrained, halves, tmp_path):
    seen = []
    out = train(
        untrained,
        halves,
        Recipe(epochs=6, batch=20),
        out=tmp_path / "w.safetensors",
        progress=lambda *a: seen.append(a),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
    assert seen[-1][0] == seen[-1][1]
    evaluator = Evaluator(Supernet.load(out), halves, calibration=60)
    assert evaluator.error(smallest(None)[0], halves.test) < 20


def test_a_run_that_is_resumed_ends_with_the_same_weights(halves, tmp_path):
    whole = Supernet.fresh(MBV3_NANO, classes=2, seed=3)
    Trainer(whole, halves, RECIPE).run(smallest, first=0, last=4, total=6)
    begun = Trainer(Supernet.fresh(MBV3_NANO, classes=2, seed=3), halves, RECIPE)
    begun.run(smallest, first=0, last=2, total=6)
    save_state(begun, tmp_path / "state", step=2)
    resumed = Trainer(Supernet.fresh(MBV3_NANO, classes=2, seed=8), halves, RECIPE)
    step = load_state(resumed, tmp_path / "state")
    resumed.run(smallest, first=step, last=4, total=6)
    assert same(states(whole), states(resumed.supernet))


def test_a_checkpoint_of_other_settings_is_refused(untrained, halves, tmp_path):
    save_state(Trainer(untrained, halves, RECIPE), tmp_path / "state", step=2)
    with pytest.raises(UsageError, match="other settings"):
        load_state(Trainer(untrained, halves, Recipe(epochs=3)), tmp_path / "state")


def test_a_damaged_checkpoint_is_refused(untrained, halves, tmp_path):
    (tmp_path / "state").write_bytes(b"damaged")
    with pytest.raises(DataError, match="delete it"):
        load_state(Trainer(untrained, halves, RECIPE), tmp_path / "state")


def test_training_leaves_the_global_generator_alone(untrained, halves):
    before = torch.get_rng_state()
    Trainer(untrained, halves, RECIPE).run(smallest, first=0, last=1, total=1)
    Supernet.fresh(MBV3_NANO, classes=2, seed=5)
    assert torch.equal(before, torch.get_rng_state())


def test_the_rate_rises_then_falls_to_nothing():
    recipe = Recipe(epochs=1, learning_rate=1.0, warmup=0.1)
    rates = [recipe.rate(step, 100) for step in range(100)]
    assert rates[0] < rates[5] < rates[10] == max(rates)
    assert rates[-1] < 0.01


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"epochs": 1, "learning_rate": float("nan")}])
def test_a_recipe_that_cannot_train_is_refused(wrong):
    with pytest.raises(UsageError):
        Recipe(**wrong)


def test_adaptation_continues_exactly_from_its_file(halves, tmp_path):
    recipe = Recipe(epochs=1, batch=50, learning_rate=0.01)
    one = Supernet.fresh(MBV3_NANO, classes=2, seed=3)
    adapter = Adapter(one, halves, recipe, rounds=2)
    adapter.adapt(0, smallest)
    adapter.save(tmp_path / "state", index=0)
    adapter.adapt(1, smallest)
    other = Supernet.fresh(MBV3_NANO, classes=2, seed=4)
    resumed = Adapter(other, halves, recipe, rounds=2)
    resumed.load(tmp_path / "state")
    resumed.adapt(1, smallest)
    assert same(states(one), states(other))
