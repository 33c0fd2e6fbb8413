"""A board is profiled while things go wrong; `faults.harness` says what has to be so."""

import pytest
from faults.seeds import of_boards

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", of_boards())
def test_profile_survives(seed, survive):
    survive(seed, phone=False)
