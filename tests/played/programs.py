"""Fixtures: programs that time models on a device, made for this machine; models for them."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from hwnat.device.runners.compiler import compile_program
from hwnat.profile.models import ExportedModels
from hwnat.records.arch import Arch
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO
from hwnat.targets.base import get_target
from hwnat.targets.tflite.session import open_interpreter

#: Where `.ci/run` puts older runtimes, with a NumPy of their own.
OLDER = Path.home() / ".cache/hwnat-ci/tflite"
BLOCK = OpSpec(
    kind="mbconv", in_shape=(1, 8, 8, 16), out_channels=16, mid_channels=48, kernel=3, act="relu",
    se_channels=0, stride=1, residual=True,
)  # fmt: skip
SOURCES = {
    "net": Arch(space=MBV3_NANO, genome=MBV3_NANO.smallest()).ops(classes=10, batch=1),
    "block": (BLOCK,),
}


@pytest.fixture(scope="session")
def nano_model(tmp_path_factory):
    """Export a small model once: `nano_model("block", "tflite", "int8")` returns its file."""
    folder = tmp_path_factory.mktemp("models")

    def export(key="block", target="tflite", precision="fp32"):
        models = ExportedModels(
            target=get_target(target, precision=precision), folder=folder / target
        )
        models.export({key: SOURCES[key]}, progress=lambda *_: None)
        return models.path(key)

    return export


@pytest.fixture(scope="session")
def host_answer():
    """Run a model on noise here: `host_answer(path, "tflite")` returns raw input and raw output."""

    def run(path, target):
        rng = np.random.default_rng(5)
        if target != "tflite":
            session = get_target(target).load(path)
            x = rng.standard_normal(session.input_shape, dtype=np.float32)
            return x, session.run(x)
        inside = open_interpreter(path, 1)
        given, wanted = inside.get_input_details()[0], inside.get_output_details()[0]
        if given["dtype"] == np.int8:
            x = rng.integers(-128, 128, given["shape"], dtype=np.int8)
        else:
            x = rng.standard_normal(given["shape"], dtype=np.float32)
        inside.set_tensor(given["index"], x)
        inside.invoke()
        return x, inside.get_tensor(wanted["index"])

    return run


@pytest.fixture(scope="session")
def litert_library():
    """Return the libLiteRt.so of this machine's Python package."""
    found = importlib.util.find_spec("ai_edge_litert")
    path = Path(found.origin).parent / "libLiteRt.so" if found else Path("/nowhere")
    if not path.is_file():
        pytest.skip("no libLiteRt.so in this environment; pip install 'hwnat[tflite]' brings it")
    return path


@pytest.fixture(scope="session")
def litert_tools(tmp_path_factory, litert_library):
    """Return a folder with our C program, made for this machine, and the library beside it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine; apt-get install gcc brings one")
    folder = tmp_path_factory.mktemp("tools")
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
    compile_program(folder / "hwnat-run", [compiler, *strict])
    shutil.copy(litert_library, folder / "libLiteRt.so")
    return folder


@pytest.fixture(scope="session")
def older_runtimes():
    """Return the folder of tflite-runtime and of TensorFlow Lite's older C library."""
    if not (OLDER / "tflite_runtime").is_dir():
        pytest.skip(f"no older runtimes in {OLDER}; .ci/run fetches them for Python 3.11")
    return OLDER
