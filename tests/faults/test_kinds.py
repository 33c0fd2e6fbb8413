"""Which faults the seeds draw."""

import pytest
from faults.harness import draw
from faults.kinds import ALL


@pytest.mark.parametrize("phone", [True, False])
def test_every_kind_that_a_device_has_comes_first_in_some_run(phone):
    first = {draw(seed, phone=phone)[0].kind.name for seed in range(200) if (seed % 5 < 2) == phone}
    assert first == {kind.name for kind in ALL if phone in kind.of}
    assert len(first) >= 20


def test_a_seed_is_a_run():
    assert draw(7, phone=False) == draw(7, phone=False) != draw(8, phone=False)
