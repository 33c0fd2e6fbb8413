"""Conformance suites for people who write plug-ins.

A suite is a class of pytest tests. Subclass it in your own tests and provide its fixtures:

    from hwnat.testing.importers import ImporterConformance, ImporterSample

    class TestMyImporter(ImporterConformance):
        @pytest.fixture
        def sample(self):
            return ImporterSample(format="my-format", ...)

There is one module for each kind of plug-in: `transports`, `targets`, `importers` and `spaces`.
They need pytest, and `importers` needs Hypothesis: `pip install 'hwnat[testing]'`. To see the
values of a failed comparison, put `pytest.register_assert_rewrite("hwnat.testing")` in your
`conftest.py`.

The suites test what a plug-in promises. They time nothing and judge no plug-in's speed.
"""
