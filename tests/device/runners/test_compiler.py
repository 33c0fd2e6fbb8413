import platform

import pytest

from hwnat.device.runners.compiler import compile_program, compiler_words
from hwnat.errors import DeviceError, UsageError


def words(named=None, machine="aarch64", api=None, **environment):
    return compiler_words(named, machine=machine, api=api, device="pixel", environment=environment)


@pytest.fixture
def programs(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\necho nonsense >&2\nexit 1\n")
            path.chmod(0o755)
        return str(tmp_path)

    return make


def test_a_board_like_this_machine_has_this_machine_s_compiler(programs):
    folder = programs("cc", "aarch64-linux-gnu-gcc")
    assert words(machine=None, PATH=folder) == ["cc"]
    here = {"x86_64": "x86-64"}.get(platform.machine(), platform.machine())
    assert words(machine=here, PATH=folder) == ["cc"]
    other = "arm" if here == "aarch64" else "aarch64"
    with pytest.raises(UsageError, match="apt-get install gcc-") as caught:
        words(machine=other, PATH="/nowhere")
    assert "'arm" in str(caught.value) or "'aarch64" in str(caught.value)


def test_a_phone_has_the_ndk_s_compiler_of_a_level_it_can_start(programs, tmp_path):
    bin_ = "toolchains/llvm/prebuilt/linux-x86_64/bin"
    folder = programs(
        f"{bin_}/aarch64-linux-android26-clang", f"{bin_}/aarch64-linux-android23-clang"
    )
    assert words(api=34, ANDROID_NDK_HOME=folder)[0].endswith("aarch64-linux-android26-clang")
    assert words(api=23, ANDROID_NDK_HOME=folder)[0].endswith("aarch64-linux-android23-clang")
    for environment in ({}, {"ANDROID_NDK_HOME": str(tmp_path / "none")}):
        with pytest.raises(UsageError, match=r"ANDROID_NDK_HOME.*android26-clang with --compiler"):
            words(api=34, **environment)


def test_a_compiler_of_the_user_may_have_options(programs):
    folder = programs("zig")
    assert words("zig cc -target 'a b'", PATH=folder) == ["zig", "cc", "-target", "a b"]
    for named in ("none -O3", ""):
        with pytest.raises(UsageError, match="No compiler"):
            words(named, PATH=folder)
    with pytest.raises(UsageError, match="no compiler is known; name one with --compiler"):
        words(machine="mips")


def test_a_compiler_that_fails_is_quoted(programs, tmp_path):
    folder = programs("cc")
    with pytest.raises(DeviceError, match=r"cannot compile out; it printed: nonsense"):
        compile_program(tmp_path / "out", [f"{folder}/cc"])
