"""Inputs for parity checks."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def images():
    """Draw a float32 array of an NCHW shape."""
    return lambda *shape: np.random.default_rng(0).normal(size=shape).astype(np.float32)
