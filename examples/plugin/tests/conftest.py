"""Show the values of a failed comparison in the suites of hwnat, as in tests of one's own."""

import pytest

pytest.register_assert_rewrite("hwnat.testing")
