"""Setting up a phone over a genuine adb and a board over ssh; both have this processor."""

import hashlib
import shutil
import subprocess
import zipfile
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from played.arm64 import FETCH, find_cross_compiler, find_litert_arm64
from played.elf import an_elf

from hwnat.device.runners.base import Order, get_runner
from hwnat.device.runners.compiler import source_id
from hwnat.device.runners.setup import bring_benchmark_model, bring_litert, look, reach
from hwnat.errors import DataError, DeviceError, UsageError
from hwnat.records.device import DeviceSpec

SPEC = DeviceSpec(name="pixel", transport="adb", serial="x", target="tflite")


@pytest.fixture
def wheel(tmp_path, litert_library):
    path = tmp_path / "ai_edge_litert-2.3.0-cp311-cp311-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(litert_library, "ai_edge_litert/libLiteRt.so")
        archive.writestr("ai_edge_litert-2.3.0.dist-info/METADATA", "Version: 2.3.0\n")
    return path


@pytest.fixture(params=["phone", "board"])
def device(request):
    """Return a phone or a board, as tests of the transports have it."""
    if request.param == "phone":
        return request.getfixturevalue("a_phone")("debian")
    return request.getfixturevalue("board")


@pytest.fixture
def link(device, tmp_path):
    made = device.link(workdir=f"{device.userland.folder}/{tmp_path.name}")
    yield made
    made.close()


@pytest.fixture
def network(nano_model, host_answer):
    """Return a network's file, a raw input and the raw output that it has here."""
    model = nano_model("net", "tflite", "int8")
    return model, *host_answer(model, "tflite")


def times_and_answers_as_here(place, network, tmp_path):
    runner, (model, given, wanted) = get_runner(SPEC), network
    (tmp_path / "in").write_bytes(given.tobytes())
    there = {name: f"{place.folder}/../{name}" for name in ("m.tflite", "in", "out")}
    place.link.push(model, there["m.tflite"])
    place.link.push(tmp_path / "in", there["in"])
    order = Order(
        model=there["m.tflite"],
        reference=there["m.tflite"],
        threads=1,
        runs=3,
        warmup=1,
        visit_ms=1,
    )
    said = place.link.run(runner.argv(order, folder=place.folder), timeout_s=60).check().stdout
    timed = runner.read(said, where="visit")
    assert timed.samples_ns and timed.reference_ns  # noqa: PT018
    names = {"model": there["m.tflite"], "given": there["in"], "answer": there["out"]}
    place.link.run(runner.answer(folder=place.folder, **names), timeout_s=60).check()
    place.link.pull(there["out"], tmp_path / "out")
    raw = np.frombuffer((tmp_path / "out").read_bytes(), wanted.dtype)
    np.testing.assert_array_equal(raw, wanted.ravel())


def test_a_device_is_set_up_and_times_and_answers(link, wheel, network, tmp_path, monkeypatch):
    place = reach(SPEC, link)
    assert [each.problem is None for each in look(place)] == [False]
    assert "hwnat device setup pixel --litert PATH" in look(place)[0].problem
    found = bring_litert(place, wheel, compiler=None)
    assert (found.runner, found.used) == ("litert", True)
    assert (found.runtime, found.version) == ("litert 2.3.0", f"hwnat-run 1 (C, {source_id()})")
    assert look(place) == (found,)

    times_and_answers_as_here(place, network, tmp_path)

    # Once more: what is there is not sent again.
    sent = []
    monkeypatch.setattr(link, "_upload", lambda *files, **_: sent.append(files))
    assert bring_litert(place, wheel, compiler=None) == found
    assert sent == []


def test_what_is_made_for_another_device_is_not_sent(link, wheel, tmp_path, monkeypatch):
    place = reach(SPEC, link)
    monkeypatch.setattr(link, "push", lambda *_: pytest.fail("it was sent"))
    board = replace(place, machine=replace(place.machine, abi="aarch64"))
    library = tmp_path / "libLiteRt.so"
    with pytest.raises(UsageError, match=r"is for x86-64, pixel is aarch64\. Download the one"):
        bring_litert(board, wheel, compiler=None)
    # The library is right, the compiler is not.
    library.write_bytes(an_elf(interpreter=b"", needed=("libc.so.6",)))
    with pytest.raises(
        UsageError, match=r"What the compiler makes is for x86-64, pixel is aarch64"
    ):
        bring_litert(board, library, compiler="cc")
    # The compiler is right, the library is Android's.
    library.write_bytes(an_elf(interpreter=b"", machine=62))
    with pytest.raises(UsageError, match=r"built for Android's C library, the compiler .* glibc"):
        bring_litert(place, library, compiler=None)


def test_a_program_without_its_loader_is_not_sent(a_phone, litert_library, tmp_path):
    phone = a_phone("debian")
    link = phone.link(workdir=f"{phone.userland.folder}/{tmp_path.name}")
    place = reach(SPEC, link)
    # A real phone has no loader of glibc; the compiler here names one that this phone lacks too.
    compiler = "cc -Wl,--dynamic-linker=/lib/ld-none.so.2"
    with pytest.raises(UsageError, match=r"loaded by /lib/ld-none.so.2, which pixel does not have"):
        bring_litert(place, litert_library, compiler=compiler)
    android = replace(place, machine=replace(place.machine, android_api=34))
    with pytest.raises(UsageError, match=r"Android loads programs by /system/bin/linker64"):
        bring_litert(android, litert_library, compiler=compiler)
    link.close()


@pytest.fixture
def other_library(tmp_path):
    """Compile a library that is not LiteRT's."""
    (tmp_path / "other.c").write_text("int nothing;")
    path = tmp_path / "libtensorflowlite_c.so"
    subprocess.run(["cc", "-shared", "-o", str(path), str(tmp_path / "other.c")], check=True)
    return path


def test_a_library_that_does_not_start_is_said_to(a_phone, other_library, tmp_path):
    phone = a_phone("debian")
    link = phone.link(workdir=f"{phone.userland.folder}/{tmp_path.name}")
    place = reach(SPEC, link)
    with pytest.raises(DeviceError, match=r"--version ended with 1: .*the library has no TfLite"):
        bring_litert(place, other_library, compiler=None)
    assert "the library has no TfLite" in look(place)[0].problem
    link.close()


def test_a_folder_where_nothing_starts_is_said_to(a_phone):
    phone = a_phone("debian")
    if phone.userland.reason is not None:
        pytest.skip(
            f"the phone has no folder of its own without execution: {phone.userland.reason}"
        )
    link = phone.link(workdir="/sdcard/hwnat")
    with pytest.raises(DeviceError, match=r"No program starts in /sdcard/hwnat of pixel"):
        reach(SPEC, link)
    link.close()


def test_a_library_of_the_other_kind_goes(a_phone, wheel, other_library, tmp_path):
    phone = a_phone("debian")
    link = phone.link(workdir=f"{phone.userland.folder}/{tmp_path.name}")
    place = reach(SPEC, link)
    bring_litert(place, wheel, compiler=None)
    with pytest.raises(DeviceError, match="the library has no TfLite"):
        bring_litert(place, other_library, compiler=None)
    bring_litert(place, wheel, compiler=None)
    assert look(place)[0].runtime == "litert 2.3.0"
    link.close()


def test_a_file_that_is_no_program_is_refused(a_phone, tmp_path):
    phone = a_phone("debian")
    link = phone.link(workdir=f"{phone.userland.folder}/{tmp_path.name}")
    (tmp_path / "libLiteRt.so").write_text("<!DOCTYPE html>")
    with pytest.raises(DataError, match="is not a program or library"):
        bring_litert(reach(SPEC, link), tmp_path / "libLiteRt.so", compiler=None)
    link.close()


#: Prints flags as Google's program does, which is not here.
TOOL = """
#include <stdio.h>
int main(void) { return puts("--graph string required\\n--num_runs int32 optional") < 0; }
"""


@pytest.fixture
def tool(tmp_path):
    """Compile a program that tells its flags; a download has no right to be executed."""
    (tmp_path / "tool.c").write_text(TOOL)
    path = tmp_path / "benchmark_model_plus_flex"
    subprocess.run(["cc", "-o", str(path), str(tmp_path / "tool.c")], check=True)
    path.chmod(0o644)
    return path


def test_the_user_s_benchmark_model_is_brought_and_started(link, tool, tmp_path):
    place = reach(SPEC, link)
    found = bring_benchmark_model(place, tool)
    digest = hashlib.sha256(tool.read_bytes()).hexdigest()[:12]
    assert (found.runner, found.used, found.runtime) == (
        "benchmark_model", False, f"benchmark_model {digest}",
    )  # fmt: skip
    own, other = look(place)
    assert own.problem is not None
    assert other == found
    uses = replace(place, spec=replace(SPEC, runner="benchmark_model", delegate="gpu"))
    assert look(uses) == (replace(found, used=True),)
    assert bring_benchmark_model(uses, tool).used
    for bad, words in (("tool.c", "is not a program or library"), ("none", "Cannot read .*none")):
        with pytest.raises((UsageError, DataError), match=words):
            bring_benchmark_model(place, tmp_path / bad)
    board = replace(place, machine=replace(place.machine, abi="armv7l"))
    with pytest.raises(UsageError, match=r"plus_flex is for x86-64, pixel is arm. Choose the one"):
        bring_benchmark_model(board, tool)


pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arm64_phone", "arm64_board"])
def test_a_device_with_another_processor_is_set_up_and_answers_as_the_host(
    kind, network, request, tmp_path
):
    library, compiler = find_litert_arm64(), find_cross_compiler()
    if library is None or compiler is None:
        pytest.skip(f"no libLiteRt.so or compiler for arm64; {FETCH}")
    device = request.getfixturevalue(kind)
    # The phone's programs are Debian's, so its compiler is not that of Android's NDK.
    with closing(device.link()) as link:
        place = reach(SPEC, link)
        found = bring_litert(place, library, compiler=compiler)
        assert found.runtime.startswith("litert sha256-")
        times_and_answers_as_here(place, network, tmp_path)
