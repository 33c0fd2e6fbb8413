"""Modules whose weights and batch-norm statistics are random, so that folding them matters."""

import numpy as np
import pytest
import torch
from torch import nn


def randomise(module, seed=0):
    """Draw all weights and statistics such that signals keep their size through deep networks."""
    draw = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            fan_in = part.weight[0].numel()
            part.weight.data.normal_(0, fan_in**-0.5, generator=draw)
            if part.bias is not None:
                part.bias.data.normal_(0, 0.3, generator=draw)
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 2, generator=draw)
            part.bias.data.normal_(0, 0.3, generator=draw)
            part.running_mean.normal_(0, 0.3, generator=draw)
            part.running_var.uniform_(0.3, 2, generator=draw)
    return module


@pytest.fixture(scope="session")
def randomised():
    return randomise


@pytest.fixture(scope="session")
def images():
    """Draw a float32 array of an NCHW shape."""
    return lambda *shape: np.random.default_rng(0).normal(size=shape).astype(np.float32)
