import torch

from hwnat.data.readers import load_dataset
from hwnat.supernet.inputs import augment, network_inputs, resize


def test_inputs_are_normalised_by_the_training_part():
    data = load_dataset("digits")
    inputs = network_inputs(data, data.train, 8)
    assert inputs.shape == (999, 3, 8, 8)
    assert abs(float(inputs.mean())) < 1e-4
    assert abs(float(inputs.std()) - 1) < 1e-3


def test_resizing_to_the_same_size_changes_nothing():
    pixels = torch.rand(2, 1, 8, 8)
    assert resize(pixels, 8) is pixels


def test_augmentation_mirrors_only_when_asked():
    ramp = torch.arange(16.0).expand(64, 1, 16, 16)
    slopes = {}
    for flip in (False, True):
        out = augment(ramp, 16, flip=flip, generator=torch.Generator().manual_seed(0))
        slopes[flip] = (out[:, 0, 8, 9] - out[:, 0, 8, 6]) > 0
    assert slopes[False].all()
    assert 10 < int(slopes[True].sum()) < 54
