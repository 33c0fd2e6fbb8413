"""Settings for all tests, and fixtures of more than one package."""

import sys

import pytest
from hypothesis import settings

# Shared machines stall for longer than Hypothesis' deadline; what is slow shows in durations.
settings.register_profile("hwnat", deadline=None)
settings.load_profile("hwnat")


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
