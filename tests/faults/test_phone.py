"""A phone is profiled while things go wrong; see `faults.harness`."""

import pytest
from faults.harness import describe, one_run
from faults.seeds import of_phones
import numpy as np
from faults.harness import draw

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", of_phones())
def test_profile_survives(seed, rig_for):
    rig = rig_for(np.random.default_rng(seed), phone=True)
    print(describe(draw(np.random.default_rng(seed), phone=True)))
    run = one_run(rig, seed)
    print(run.messages)
