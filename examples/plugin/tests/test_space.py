"""The space keeps what every space promises."""

import pytest
from hwnat_plugin.space import MBV3_MICRO

from hwnat.testing.spaces import SpaceConformance


class TestMicro(SpaceConformance):
    @pytest.fixture
    def space(self):
        return MBV3_MICRO
