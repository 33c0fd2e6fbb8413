"""The ten steps of docs/devices.md, typed on the phone that the tests play."""

import re
import shlex
import sys
import zipfile
from pathlib import Path

import pytest

from hwnat.cli.main import main

PAGE = Path(__file__).parents[1] / "docs/devices.md"
#: A hash, a figure, and the form of a calibration that figures choose.
CHANGES = re.compile(r"\b[0-9a-f]{12}\b|[-+]?\d[\d.,]*|(?<=calibration )\w+")
#: Fewer visits than a reader makes.
SHORT = ["--rounds", "1", "--calibration", "2", "--validation", "2"]


def guide():
    text = PAGE.read_text(encoding="utf-8")
    start = text.index("## From an unboxed phone")
    return text[start : text.index("\n## ", start + 1)]


def steps():
    """Yield (command, lines that it prints) of each command of hwnat."""
    found = []
    for line in re.findall(r"^ {4}(.*)$", guide(), re.MULTILINE):
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return [(command, lines) for command, lines in found if command.startswith("hwnat ")]


def shape(line):
    """Return what a line looks like whatever the phone: a label, or words without figures."""
    label, *rest = re.split(r" {2,}", line.strip())
    return label if len(rest) == 1 else " ".join(CHANGES.sub("N", line).split())


@pytest.fixture
def my_phone(android_phone, litert_library, tmp_path, monkeypatch):
    """Attach a phone, write the page's device file and fetch what the page has the reader fetch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    android_phone.adb("disconnect")
    android_phone.adb("connect", android_phone.serial)
    (tmp_path / "devices").mkdir()
    described = re.search(r"^    transport = .*?\n\n", guide(), re.MULTILINE | re.DOTALL)[0]
    text = re.sub(r"^ {4}", "", described, flags=re.MULTILINE)
    (tmp_path / "devices/my-phone.toml").write_text(text)
    with zipfile.ZipFile(tmp_path / "litert-2.3.0.aar", "w") as archive:
        archive.write(litert_library, "jni/x86_64/libLiteRt.so")
    return android_phone


@pytest.mark.slow
def test_the_ten_steps_lead_to_a_table(my_phone, monkeypatch, capfd):
    before = my_phone.state.settings
    numbers = re.findall(r"^\*\*(\d+)\. ", guide(), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 11)]
    for command, lines in steps():
        argv = shlex.split(command)
        # The phone here is no real Android, so the NDK's compiler is not the one for it.
        argv += ["--compiler", "cc"] if "--litert" in argv else []
        argv += SHORT if argv[1] == "profile" else []
        argv = [each.replace("20", "2") if argv[1] == "table" else each for each in argv]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert end.value.code == 0, err
        printed = {shape(line) for line in (out + "\n" + err).splitlines()}
        assert {shape(line) for line in lines} <= printed, (command, out, err)
    assert my_phone.state.settings == before
