import json

import pytest

from hwnat.device.runners.compiler import source_id


@pytest.fixture
def device_file(hwnat, board, tmp_path):
    (tmp_path / "devices").mkdir()
    folder = f"{board.userland.folder}/{tmp_path.name}"
    words = {"transport": "ssh", "host": "127.0.0.1", "target": "tflite", "workdir": folder}
    words["user"] = board.sshd.user
    lines = [f'{key} = "{value}"' for key, value in words.items()]
    (tmp_path / "devices/pi.toml").write_text("\n".join([*lines, f"port = {board.sshd.port}"]))
    assert hwnat("device", "trust", "pi")[0] == 0


@pytest.mark.usefixtures("device_file")
def test_setup_says_what_is_missing_then_brings_it(hwnat, litert_library, litert_tools):
    del litert_tools  # skips where there is no compiler
    code, out, err = hwnat("device", "setup", "pi")
    assert code == 0
    assert out.split() == ["runner", "used", "runtime", "version", "litert", "yes", "-", "missing"]
    assert "hwnat device setup pi --litert PATH" in err
    code, out, err = hwnat("device", "setup", "pi", "--litert", litert_library, "--json")
    assert (code, err) == (0, "")
    (printed,) = json.loads(out)
    assert printed["runtime"].startswith("litert sha256-")
    assert (printed["version"], printed["problem"]) == (f"hwnat-run 1 (C, {source_id()})", None)
    code, out, _ = hwnat("device", "setup", "pi")
    assert (code, out.split()[4:7]) == (0, ["litert", "yes", "litert"])


@pytest.mark.usefixtures("device_file")
def test_setup_refuses_invalid_requests(hwnat, tmp_path):
    code, _, err = hwnat("device", "setup", "pi", "--compiler", "cc")
    assert (code, "with --litert" in err) == (2, True)
    code, _, err = hwnat("device", "setup", "host-onnx")
    assert (code, "is this machine" in err, "hwnat device doctor host-onnx" in err) == (2, 1, 1)
    code, _, err = hwnat("device", "setup", "pi", "--litert", tmp_path / "none.so")
    assert (code, "none.so: No such file" in err) == (2, True)


def test_this_machine_is_set_up_where_a_runner_times_it(hwnat, tmp_path, litert_library):
    (tmp_path / "devices").mkdir()
    words = {"transport": "local", "target": "tflite", "runner": "litert"}
    words["workdir"] = str(tmp_path / "work")
    lines = [f'{key} = "{value}"' for key, value in words.items()]
    (tmp_path / "devices/me.toml").write_text("\n".join(lines))
    assert hwnat("device", "trust", "devices/me.toml")[0] == 0
    code, out, err = hwnat("device", "doctor", "me", "--json")
    assert (code, json.loads(out)["runner"], json.loads(out)["runtime"]) == (0, "litert", None)
    assert "hwnat device setup me --litert PATH" in json.loads(out)["advice"][0]
    code, _, err = hwnat("device", "setup", "me", "--litert", litert_library)
    assert (code, err) == (0, "")
    code, out, _ = hwnat("device", "doctor", "me", "--json")
    assert (code, json.loads(out)["runtime"][:6]) == (0, "litert")
