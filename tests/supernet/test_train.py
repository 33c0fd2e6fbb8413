import os
import shutil
import stat

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hwnat.data.readers import load_dataset
from hwnat.errors import DataError, UsageError
from hwnat.records.arch import Arch
from hwnat.records.space import MBV3_NANO
from hwnat.supernet.accuracy import Evaluator
from hwnat.supernet.adapt import Adapter
from hwnat.supernet.network import Supernet
from hwnat.supernet.recipe import Recipe
from hwnat.supernet.train import Trainer, load_state, sandwich, save_state, train

RECIPE = Recipe(epochs=2, batch=20, learning_rate=0.05)


def names(folder):
    """Name the files of a folder but for those that keep locks."""
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".lock")


def smallest(_rng):
    return [Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest())]


def states(supernet):
    return {name: tensor.clone() for name, tensor in supernet.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_sandwich_holds_both_extremes_at_one_resolution(untrained):
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
    assert names(tmp_path) == ["w.safetensors"]
    assert seen[-1][0] == seen[-1][1]
    evaluator = Evaluator(Supernet.load(out), halves, calibration=60)
    assert evaluator.error(smallest(None)[0], halves.test) < 20


def test_a_run_that_is_resumed_ends_with_the_same_weights(halves, tmp_path):
    whole = Supernet.fresh(MBV3_NANO, classes=2, seed=3)
    Trainer(whole, halves, RECIPE).run(smallest, first=0, last=4, total=6)
    begun = Trainer(Supernet.fresh(MBV3_NANO, classes=2, seed=3), halves, RECIPE)
    begun.run(smallest, first=0, last=2, total=6)
    save_state(begun, tmp_path / "state", step=2)
    resumed = Trainer(Supernet.fresh(MBV3_NANO, classes=2, seed=3), halves, RECIPE)
    step = load_state(resumed, tmp_path / "state")
    resumed.run(smallest, first=step, last=4, total=6)
    assert same(states(whole), states(resumed.supernet))


def test_a_checkpoint_of_other_settings_is_refused(untrained, halves, tmp_path):
    save_state(Trainer(untrained, halves, RECIPE), tmp_path / "state", step=2)
    with pytest.raises(UsageError, match="another epochs, batch, learning_rate"):
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 0},
        *({"learning_rate": rate} for rate in (0.0, 1e9, float("nan"), float("inf"))),
        *({"jitter": jitter} for jitter in (-0.1, 1.0, float("nan"), float("inf"))),
    ],
)
def test_a_recipe_that_cannot_train_is_refused(wrong):
    with pytest.raises(UsageError):
        Recipe(**{"epochs": 1, **wrong})


def test_a_training_that_diverges_saves_nothing(untrained, halves, tmp_path):
    recipe = Recipe(epochs=2, batch=20, learning_rate=10.0, clip_norm=1e6)
    with pytest.raises(DataError, match="lower --learning-rate"):
        train(untrained, halves, recipe, out=tmp_path / "w.safetensors")
    assert names(tmp_path) == []


def test_a_second_training_of_one_file_is_refused(untrained, halves, tmp_path):
    out = tmp_path / "w.safetensors"
    refused = []

    def meanwhile(*_):
        with pytest.raises(UsageError, match=r"w\.safetensors is in use by process \d+") as error:
            train(untrained, halves, RECIPE, out=out)
        refused.append(error)

    train(untrained, halves, Recipe(epochs=1, batch=50), out=out, progress=meanwhile)
    assert refused
    assert out.is_file()


def test_a_loss_far_beyond_guessing_has_diverged(untrained, halves):
    trainer = Trainer(untrained, halves, RECIPE)
    # Finite everywhere: only the answers are nonsense.
    with torch.no_grad():
        for name, parameter in untrained.named_parameters():
            if ".linear." in name:
                parameter.mul_(1e6)
    with pytest.raises(DataError, match="the mean loss is"):
        trainer.run(smallest, first=0, last=1, total=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_no_step_looks_at_is_found_when_the_epoch_ends(untrained, halves, value):
    trainer = Trainer(untrained, halves, RECIPE)
    name = "full.0.10.project.conv.weight"
    with torch.no_grad():
        untrained.get_parameter(name)[-1, -1] = value
    with pytest.raises(DataError, match=f"{name} are not numbers"):
        trainer.run(smallest, first=0, last=1, total=1)


@pytest.mark.parametrize("name", ["data", "start"])
def test_training_does_not_go_on_with_other_pictures_or_from_other_weights(
    small_npz, tmp_path, name
):
    path = tmp_path / "set.npz"
    shutil.copy(small_npz, path)
    first = Supernet.fresh(MBV3_NANO, classes=2, seed=3)
    save_state(Trainer(first, load_dataset(str(path)), RECIPE), tmp_path / "state", step=2)
    if name == "data":
        with np.load(path) as file:
            pixels, labels = file["x"].copy(), file["y"]
        pixels[7, 3, 3] ^= 1
        np.savez(path, x=pixels, y=labels)
    other = Supernet.fresh(MBV3_NANO, classes=2, seed=4 if name == "start" else 3)
    with pytest.raises(UsageError, match=f"another {name};"):
        load_state(Trainer(other, load_dataset(str(path)), RECIPE), tmp_path / "state")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_weights_are_readable_as_the_umask_says(untrained, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        untrained.save(tmp_path / "w.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) == mode


def test_weights_are_replaced_in_one_step_and_touch_nothing_else(untrained, tmp_path):
    path = tmp_path / "w.safetensors"
    beside = tmp_path / "w.safetensors.part"
    beside.write_text("precious")
    untrained.save(path)
    whole = path.read_bytes()
    with path.open("rb") as opened_before:
        Supernet.fresh(MBV3_NANO, classes=2, seed=4).save(path)
        # A reader of the old file goes on reading all of it.
        assert opened_before.read() == whole
    assert path.read_bytes() != whole
    assert beside.read_text() == "precious"
    assert {file.name for file in tmp_path.iterdir()} == {path.name, beside.name}


def test_weights_that_are_no_numbers_are_neither_written_nor_read(untrained, tmp_path):
    path = tmp_path / "w.safetensors"
    untrained.save(path)
    whole = path.read_bytes()
    with torch.no_grad():
        next(untrained.parameters())[0] = float("nan")
    with pytest.raises(DataError, match="are not numbers"):
        untrained.save(path)
    assert path.read_bytes() == whole
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    for name, value in (("full.0.0.conv.weight", float("inf")), ("full.0.0.bn.running_var", -1.0)):
        tensors = load_file(path)
        tensors[name] = torch.full_like(tensors[name], value)
        save_file(tensors, tmp_path / "bad.safetensors", metadata=header)
        with pytest.raises(DataError, match=rf"bad\.safetensors: .* {name} are not numbers"):
            Supernet.load(tmp_path / "bad.safetensors")


def test_adaptation_continues_exactly_from_its_file(halves, tmp_path):
    recipe = Recipe(epochs=1, batch=50, learning_rate=0.01)
    one = Supernet.fresh(MBV3_NANO, classes=2, seed=3)
    adapter = Adapter(one, halves, recipe, rounds=2)
    adapter.adapt(0, smallest)
    adapter.save(tmp_path / "state", index=0)
    adapter.adapt(1, smallest)
    other = Supernet.fresh(MBV3_NANO, classes=2, seed=3)
    resumed = Adapter(other, halves, recipe, rounds=2)
    resumed.load(tmp_path / "state")
    resumed.adapt(1, smallest)
    assert same(states(one), states(other))
