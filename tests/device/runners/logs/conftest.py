"""Fixtures for runners' output: files of our own, and how to compare what is read from them."""

import pytest

from hwnat.device.runners.logs import RuntimeLog, parse_log

#: A report without an end: the caller counts its layers.
LAYERS = {"scalesim.csv": 2, "scalesim_COMPUTE_REPORT.csv": 3}


@pytest.fixture(scope="session")
def read_log(runtime_logs):
    """Read a file: `read_log("tf1.txt")`, or `read_log("tf1.txt", raw)` with other contents."""

    def read(name, raw=None, **options):
        options.setdefault("expected", LAYERS.get(name))
        raw = (runtime_logs / name).read_bytes() if raw is None else raw
        return parse_log(raw, where=name, **options)

    return read


@pytest.fixture(scope="session")
def check_log():
    """Compare every field but the operators; those that are not named must be empty."""

    def check(log, kind, fields):
        assert (log.tool, log.generation) == kind
        for name, field in RuntimeLog.__dataclass_fields__.items():
            if name not in ("tool", "generation", "ops", "left_out"):
                assert getattr(log, name) == fields.get(name, field.default), name

    return check
