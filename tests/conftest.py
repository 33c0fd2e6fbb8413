"""Settings for all tests, and fixtures of more than one package."""

import functools
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from played.fixtures import (  # noqa: F401
    a_board,
    a_machine,
    a_phone,
    adb_servers,
    android_phone,
    arm64_board,
    arm64_phone,
    board,
    linux_board,
    phone,
    sshd,
    steady_adbd,
    steady_phone,
    userland,
)
from played.programs import (  # noqa: F401
    host_answer,
    litert_library,
    litert_tools,
    nano_model,
    older_runtimes,
)
from skips import last_line, reasons_of

#: Tests of a shipped suite that take over two seconds; the suites know no marks of this project.
SLOW = (
    "test_a_large_network_at_224_agrees_with_torch",
    "test_what_a_command_started_dies_with_it_at_its_time_limit",
)


#: The files that take longest, longest first. One that began last would keep a single core busy.
LONGEST = (
    "remote/test_profile.py",
    "faults/test_board.py",
    "faults/test_phone.py",
    "benchmarks/evaluate/test_operators.py",
    "profile/test_measure.py",
    "benchmarks/evaluate/test_transfer.py",
    "remote/test_timer.py",
    "search/test_nat.py",
    "targets/test_conformance.py",
    "test_phone_guide.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """Return one process more than there are cores, four at most: many tests wait for a device."""
    del config
    return min(4, 1 + (os.cpu_count() or 1))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    slow = set()
    for item in items:
        if getattr(item, "originalname", None) in SLOW:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow"):
            slow.add(item.path)
    items.sort(key=lambda item: (_place(item.path), item.path not in slow))


def _place(path):
    """Return a file's place among the longest ones; all others come after them."""
    places = (at for at, name in enumerate(LONGEST) if path.as_posix().endswith(f"/tests/{name}"))
    return next(places, len(LONGEST))


def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and (line := last_line(reasons_of(reporter))):
        reporter.write_line(line)


# Shared machines stall for longer than Hypothesis' deadline; what is slow shows in durations.
settings.register_profile("hwnat", deadline=None)
settings.load_profile("hwnat")


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory):
    """Keep the device files that tests trust out of the user's configuration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of whole published sets; the test is skipped where there is none."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("HWNAT_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no published measurements at {folder}; HWNAT_SHARED_DATA names another place")
    return folder


@pytest.fixture(scope="session")
def excerpts():
    """Return the folder of figures taken from published measurements; its README says which."""
    return Path(__file__).parent / "data" / "excerpts"


@pytest.fixture(scope="session")
def runtime_logs():
    """Return the folder of runtimes' outputs that were written for these tests."""
    return Path(__file__).parent / "data" / "runtime_logs"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution that registers plug-ins: `installed(group, name="module:Object")`."""

    def install(group, **plugins):
        info = tmp_path / "thirdparty-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in plugins.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    return install


@pytest.fixture
def a_setup():
    """Build a `Setup`: `a_setup(threads=2)`; what is not said has a default."""
    from hwnat.records.measurement import Host, Setup

    def build(**changes):
        default = {
            "device": "host-onnx",
            "host": Host(cpu="a CPU", cores=2, machine="x86_64", os="Linux"),
            "target": "onnx",
            "runtime": "onnxruntime",
            "runtime_version": "1.0",
            "threads": 1,
            "affinity": (1,),
            "precision": "fp32",
            "batch": 1,
            "runs": 5,
            "warmup": 1,
            "visit_ms": 5.0,
            "reference": "network|mbv3-nano|01011001100110011001100|classes=10|batch=1",
        }
        return Setup(**{**default, **changes})

    return build


@pytest.fixture(scope="session")
def an_entry():
    """Build an `Entry` of so many nanoseconds: `an_entry(900)`, with `provenance=…` and so on."""
    from hwnat.table.entry import Entry

    def build(ns, **changes):
        default = {
            "p10_ns": max(1, ns - 9),
            "p50_ns": ns,
            "p90_ns": ns + 90,
            "low_ns": max(1, ns - ns // 100),
            "high_ns": ns + ns // 100,
            "n": 40,
            "spread": 0.01,
        }
        return Entry(**{**default, **changes})

    return build


@pytest.fixture(scope="session")
def entries_of(an_entry):
    """Build all entries of a space, with costs made from the keys, once for all tests."""
    from zlib import crc32

    from hwnat.records.grid import distinct_ops

    @functools.cache
    def build(space, resolutions, classes):
        keys = (op.key for op in distinct_ops(space, resolutions, classes=classes))
        return {key: an_entry(1_000 + crc32(key.encode()) % 90_000) for key in keys}

    return build


@pytest.fixture
def a_table(a_setup, entries_of):
    """Build a full table of a space: `a_table(space, (24,))`, entry costs made from the keys."""
    from hwnat.records.device import TimingProtocol
    from hwnat.records.space import MBV3_NANO
    from hwnat.table.calibrate import Calibration
    from hwnat.table.lookup import LatencyTable

    def build(space=MBV3_NANO, resolutions=None, *, classes=10, setup=None, **changes):
        resolutions = space.resolutions if resolutions is None else resolutions
        entries = {} if "entries" in changes else entries_of(space, tuple(resolutions), classes)
        default = {
            "setup": setup or a_setup(),
            "protocol": TimingProtocol(),
            "space": space.name,
            "classes": classes,
            "resolutions": tuple(resolutions),
            "granularity": "block",
            "reference_ns": 100_000,
            "overhead_ns": 5_000,
            "entries": dict(entries),
            "calibration": Calibration(form="scale", scale=0.9),
            "validation": (),
            "conditions": (None, None),
            "hwnat": "0.1.0",
            "created": "2026-01-01T00:00:00+00:00",
        }
        return LatencyTable(**{**default, **changes})

    return build
