"""A phone is profiled while things go wrong; `faults.harness` says what has to be so."""

import pytest
from faults.seeds import of_phones

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", of_phones())
def test_profile_survives(seed, survive):
    survive(seed, phone=True)
