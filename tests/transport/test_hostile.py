"""Names full of metacharacters, line ends and escapes run nothing and leave their folder alone."""

import secrets
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, DeviceError
from hwnat.records.device import DeviceSpec
from hwnat.transport.adb import AdbTransport
from hwnat.transport.local import LocalTransport

NASTY = [
    *"';\"`$&|<>(){}[]*?!~#%^=\\ -,:@\n\r\t\x1b\x07ü漢",
    "$(touch canary)",
    "`touch canary`",
    ";touch canary;",
    "\ntouch canary\n",
    "' touch canary '",
    "\x1b]0;x\x07",
    "..",
    "%s",
    "-rf",
    "--",
]
WORDS = st.lists(st.sampled_from(NASTY), min_size=1, max_size=6).map("".join)
NAMES = WORDS.filter(lambda name: name.strip("."))
ONCE = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    "derandomize": True,
    # An example takes some seconds; the failing one is clear enough.
    "phases": [Phase.explicit, Phase.generate],
}


@pytest.fixture(params=["local", "adb", "ssh"])
def place(request, userland):
    """Return a link, a fresh folder on its device, and that folder as seen from here."""
    if request.param == "local":
        folder = request.getfixturevalue("tmp_path") / "device" / "folder"
        folder.mkdir(parents=True)
        yield LocalTransport(), str(folder), folder
        return
    made = request.getfixturevalue("a_phone")() if request.param == "adb" else None
    link = (made or request.getfixturevalue("board")).link()
    folder = f"{userland.folder}/{secrets.token_hex(4)}"
    link.run(["mkdir", folder], timeout_s=20).check()
    yield link, folder, userland.at(folder)
    link.close()


def everything(folder):
    return sorted(map(str, folder.rglob("*")))


def check_names(place, tmp_path, names, words):
    link, folder, seen = place
    path = "/".join([secrets.token_hex(4), *names])
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_text("content")
    before = everything(seen), set(seen.parent.iterdir())
    link.push(source, f"{folder}/{path}")
    assert seen.joinpath(path).read_text() == "content"
    link.pull(f"{folder}/{path}", back)
    assert back.read_text() == "content"
    done = link.run(["printf", "%s|", *words], timeout_s=20)
    assert done.stdout == "".join(f"{word}|" for word in words)
    seen.joinpath(path).unlink()
    for depth in range(len(names)):
        seen.joinpath(*path.split("/")[: len(names) - depth]).rmdir()
    assert (everything(seen), set(seen.parent.iterdir())) == before
    assert not Path("canary").exists()


@settings(**ONCE, max_examples=4)
@given(names=st.lists(NAMES, min_size=1, max_size=3), words=st.lists(WORDS, min_size=1, max_size=9))
def test_odd_names_and_words_stay_names_and_words(place, tmp_path, names, words):
    check_names(place, tmp_path, names, words)


@pytest.mark.slow
@settings(**ONCE, max_examples=40)
@given(names=st.lists(NAMES, min_size=1, max_size=3), words=st.lists(WORDS, min_size=1, max_size=9))
def test_many_odd_names_and_words_stay_names_and_words(place, tmp_path, names, words):
    check_names(place, tmp_path, names, words)


@settings(**ONCE, max_examples=6)
@given(serial=WORDS)
def test_an_odd_serial_finds_no_phone_and_runs_nothing(a_phone, tmp_path, serial):
    a_phone()
    before = everything(tmp_path)
    with pytest.raises(DeviceError) as refused:
        AdbTransport(serial).run(["touch", str(tmp_path / "canary")], timeout_s=2)
    assert str(refused.value).isprintable()
    assert everything(tmp_path) == before


@given(key=st.sampled_from(["serial", "host", "user", "workdir", "name"]), word=WORDS)
def test_a_device_file_takes_no_address_that_a_shell_could_run(key, word):
    address = {"serial": "x"} if key == "serial" else {"host": "x"}
    values = {"name": "x", **address, key: f"/{word}" if key == "workdir" else word}
    try:
        spec = DeviceSpec(**values, transport="adb" if key == "serial" else "ssh", target="onnx")
    except DataError:
        return
    value = getattr(spec, key)
    assert value.isprintable()
    assert not value.startswith(("-", "~"))
    if key in {"serial", "host", "user"}:
        assert not set(value) & set("';\"`$&|<>{}*?!#\\^\n\r\t\x1b")


def test_a_device_that_says_paths_and_commands_is_not_obeyed(a_phone, tmp_path):
    phone = a_phone()
    link = phone.link()
    link.probe()
    phone.adbd.faults.says = f"sha256 5 $(touch {tmp_path}/canary)\n../../{tmp_path}/x\n".encode()
    for call in (
        lambda: link.pull("/data/x", tmp_path / "x"),
        lambda: link.push(Path(__file__), "/data/x"),
        link.probe,
    ):
        with pytest.raises(DeviceError):
            call()
    assert everything(tmp_path) == []
