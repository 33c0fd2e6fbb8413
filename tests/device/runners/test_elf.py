import platform
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from played.elf import an_elf

from hwnat.device.runners.elf import machine_name, read_elf
from hwnat.errors import DataError


def test_the_programs_of_this_machine_are_what_they_are(litert_library):
    python = read_elf(Path(sys.executable).resolve().read_bytes(), where="python")
    library = read_elf(litert_library.read_bytes(), where="library")
    assert python.machine == library.machine == machine_name(platform.machine())
    assert python.libc == library.libc == "glibc"
    assert python.interpreter.startswith("/lib")
    assert library.interpreter is None
    assert "libc.so.6" in library.needed


@pytest.mark.parametrize("wide", [True, False])
def test_all_of_a_header_is_read(wide):
    found = read_elf(an_elf(wide=wide, needed=("libdl.so", "libc.so")), where="x")
    assert (found.machine, found.interpreter) == ("aarch64", "/system/bin/linker64")
    assert (found.needed, found.libc) == (("libdl.so", "libc.so"), "Android's")
    bare = read_elf(an_elf(wide=wide, interpreter=b"", needed=(), machine=8), where="x")
    assert (bare.machine, bare.interpreter, bare.libc) == ("mips", None, None)


@given(st.binary(max_size=200))
def test_what_is_no_program_is_refused(content):
    with pytest.raises(DataError, match=r"^the file is not a program or library"):
        read_elf(content, where="the file")


@given(st.data())
def test_a_damaged_header_is_read_or_refused(data):
    whole = bytearray(an_elf())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        read_elf(cut, where="x")
    except DataError as refused:
        assert str(refused).startswith("x is not a program")  # noqa: PT017
