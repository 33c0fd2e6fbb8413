import hashlib
import os
import struct
import zipfile

import pytest
from played.elf import an_elf

from hwnat.device.runners.litert_library import find_library
from hwnat.errors import DataError, UsageError

ARM64 = an_elf(interpreter=b"")
ARM32 = an_elf(interpreter=b"", wide=False, machine=40)
X86_64 = an_elf(interpreter=b"", machine=62)


def a_zip(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def find(path, machine="aarch64"):
    return find_library(path, machine=machine, device="pixel")


def test_a_library_alone_has_its_hash_for_a_version(tmp_path):
    path = tmp_path / "libLiteRt.so"
    path.write_bytes(ARM64)
    found = find(path)
    assert (found.name, found.content) == ("libLiteRt.so", ARM64)
    assert found.version == f"sha256-{hashlib.sha256(ARM64).hexdigest()[:12]}"
    other = tmp_path / "libtensorflowlite_c.so"
    other.write_bytes(ARM64)
    assert find(other).name == "libtensorflowlite_c.so"


def test_the_library_for_the_device_is_taken_out_of_an_archive(tmp_path):
    jni = {
        "jni/armeabi-v7a/libLiteRt.so": ARM32,
        "jni/arm64-v8a/libLiteRt.so": ARM64,
        "jni/x86_64/libLiteRt.so": X86_64,
        "AndroidManifest.xml": b"",
    }
    path = a_zip(tmp_path / "litert-2.1.6.aar", **jni)
    for machine, content in (("aarch64", ARM64), ("arm", ARM32), ("x86-64", X86_64)):
        found = find(path, machine)
        assert (found.content, found.version) == (content, "2.1.6")
    with pytest.raises(
        UsageError, match=r"is for aarch64, arm, x86-64, pixel is riscv64. Download the one"
    ):
        find(path, "riscv64")


def test_a_wheel_tells_its_version(tmp_path):
    path = a_zip(
        tmp_path / "any.whl",
        **{
            "ai_edge_litert/libLiteRt.so": ARM64,
            "ai_edge_litert-2.3.0.dist-info/METADATA": "Name: ai-edge-litert\nVersion: 2.3.0\n\nx",
        },
    )
    assert find(path).version == "2.3.0"


def test_the_c_interface_of_android_s_archive_is_in_the_library_for_java(tmp_path):
    path = a_zip(
        tmp_path / "tensorflow-lite-2.16.1.aar",
        **{"jni/arm64-v8a/libtensorflowlite_jni.so": ARM64},
    )
    found = find(path)
    assert (found.name, found.version) == ("libtensorflowlite_c.so", "2.16.1")


def test_what_holds_no_library_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"Cannot read .*none.so: No such file"):
        find(tmp_path / "none.so")
    with pytest.raises(UsageError, match=r"contains no libLiteRt.so. Use the wheel"):
        find(a_zip(tmp_path / "a.zip", readme="x"))
    (tmp_path / "b.so").write_bytes(b"no library")
    with pytest.raises(DataError, match=r"b.so is not a program or library"):
        find(tmp_path / "b.so")
    whole = a_zip(tmp_path / "c.zip", **{"libLiteRt.so": ARM64 * 9}).read_bytes()
    damaged = bytearray(whole)
    damaged[60] ^= 0xFF
    (tmp_path / "c.zip").write_bytes(damaged)
    with pytest.raises(DataError, match=r"c.zip is a damaged archive"):
        find(tmp_path / "c.zip")


def test_a_damaged_compression_is_refused(tmp_path):
    """Any byte of the compressed data may be wrong; the message is one line."""
    path = tmp_path / "litert-2.1.6.aar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jni/arm64-v8a/libLiteRt.so", ARM64 * 9)
        start = archive.infolist()[0].header_offset + 30 + len("jni/arm64-v8a/libLiteRt.so")
    whole = path.read_bytes()
    end = whole.index(b"PK\1\2")
    for place in range(start, end):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(
            DataError, match=r"\.aar is a damaged archive \(.+\); download"
        ) as raised:
            find(path)
        assert "\n" not in str(raised.value)
    path.write_bytes(whole)
    assert find(path).version == "2.1.6"


def test_a_bomb_is_refused_by_its_limit_before_it_is_unpacked(tmp_path):
    path = tmp_path / "litert-2.1.6.aar"
    piece = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for abi in ("arm64-v8a", "x86"):
            with archive.open(f"jni/{abi}/libLiteRt.so", "w") as file:
                for _ in range(129):
                    file.write(piece)
    with pytest.raises(DataError, match="take more than 256 MiB, the limit"):
        find(path)


def test_only_the_stated_size_is_unpacked(tmp_path):
    path = a_zip(tmp_path / "a.zip", **{"libLiteRt.so": ARM64 + bytes(9_000)})
    whole = path.read_bytes()
    true, stated = (struct.pack("<I", size) for size in (len(ARM64) + 9_000, 1_000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("libLiteRt.so", ARM64 + bytes(9_000))
    whole = path.read_bytes()
    assert whole.count(true) == 2
    path.write_bytes(whole.replace(true, stated))
    with pytest.raises(DataError, match="damaged archive"):
        find(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_bounded_are_refused(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("libLiteRt.so", ARM64)
    with pytest.raises(DataError, match="neither stored nor deflated"):
        find(path)


def test_a_long_list_of_files_is_refused_by_its_limit(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(80):
            archive.writestr(f"{index:060000d}", b"")
    with pytest.raises(DataError, match="list of files is larger than 4 MiB"):
        find(path)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "libLiteRt.so")
    for path in (tmp_path, tmp_path / "libLiteRt.so"):
        with pytest.raises(UsageError, match="not a regular file"):
            find(path)
