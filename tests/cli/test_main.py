import subprocess
import sys
from importlib import import_module
from importlib.metadata import metadata

import click
import pytest

from hwnat import __version__, errors
from hwnat.cli import main as cli


def hwnat(*args):
    done = subprocess.run(
        [sys.executable, "-m", "hwnat.cli.main", *args], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def ending(monkeypatch, error):
    """Return the exit code of a command that raises `error`."""

    @click.command()
    def fail():
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: fail)
    monkeypatch.setattr(sys, "argv", ["hwnat", "demo"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize(
    "error",
    [errors.GateError, errors.UsageError, errors.DataError, errors.DeviceError],
)
def test_an_error_is_one_line_and_its_exit_code(monkeypatch, capsys, error):
    assert ending(monkeypatch, error("Something. Do this.")) == error.exit_code
    captured = capsys.readouterr()
    assert captured.err == "hwnat: Something. Do this.\n"
    assert captured.out == ""


def test_an_interrupt_says_how_to_continue(monkeypatch, capsys):
    assert ending(monkeypatch, KeyboardInterrupt()) == 130
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_kill_is_an_interrupt(name):
    command = (
        "import signal; from hwnat.cli import main as cli; "
        f"cli.app.main = lambda **_: signal.raise_signal(signal.{name}); cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "run the same command again" in done.stderr) == (130, True)


@pytest.mark.parametrize("words", ["device list --json", "device list", "--help"])
def test_a_reader_that_leaves_is_no_failure(words):
    # `sleep` gives the reader time to leave, so that nobody reads what is printed.
    command = f"(sleep 0.5; exec {sys.executable} -m hwnat.cli.main {words}) | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_another_broken_pipe_is_a_failure(monkeypatch, capsys):
    assert ending(monkeypatch, BrokenPipeError(32, "Broken pipe")) == 2
    assert "Broken pipe" in capsys.readouterr().err


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2> >(true)"])
def test_nobody_has_to_read_stderr(stderr):
    main = f"{sys.executable} -m hwnat.cli.main"
    command = f"{main} device list {stderr} && ! {main} table show nowhere {stderr}"
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert "host-onnx" in done.stdout


def test_a_closed_stdout_is_no_traceback():
    command = f"{sys.executable} -m hwnat.cli.main device list >&-"
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_shows_what_a_terminal_would_obey(monkeypatch, capsys):
    ending(monkeypatch, errors.DataError("key '\x1b]0;x\x07[red]\n\ud800\u202e'"))
    assert capsys.readouterr().err == "hwnat: key '\\x1b]0;x\\x07[red]\\n\\ud800\\u202e'\n"


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch, capsys):
    assert ending(monkeypatch, ModuleNotFoundError("no", name="scipy.stats")) == 2
    words = "hwnat: scipy.stats is not installed. Install it with: pip install 'hwnat[all]'\n"
    assert capsys.readouterr().err == words


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("search", "torch", "search"),
        ("search", "PIL", "train"),
        ("supernet", "torch.nn", "train"),
        ("predict", "sklearn.ensemble", "predict"),
        ("profile", "torch", "onnx"),
        ("table", "nothing", None),
    ],
)
def test_the_extra_is_that_of_the_command(monkeypatch, command, package, extra):
    monkeypatch.setattr(sys, "argv", ["hwnat", command])
    assert cli._extra(ModuleNotFoundError("no", name=package)) == extra


def test_every_extra_that_is_offered_exists():
    declared = metadata("hwnat").get_all("Provides-Extra")
    assert set(cli._EXTRAS.values()) <= set(declared)


def test_a_package_of_nobody_is_a_defect(monkeypatch):
    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: import_module("hwnat.nothing"))
    monkeypatch.setattr(sys, "argv", ["hwnat", "demo"])
    with pytest.raises(ModuleNotFoundError):
        cli.main()


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["hwnat", "demo"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_an_unknown_command_offers_the_nearest():
    code, out, err = hwnat("profil")
    assert code == 2
    assert "Did you mean 'profile'?" in err
    assert out == ""


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = "import sys; from hwnat.cli.main import main; sys.argv = ['hwnat', '--help']\n"
    code += "try: main()\nexcept SystemExit: print(*sorted(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    help_text, modules = done.stdout.rsplit("\n", 2)[:2]
    assert all(name in help_text for name in cli.COMMANDS)
    assert not {"torch", "numpy", "rich", "scipy", "onnx"} & set(modules.split())


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_listed_command_exists(name):
    module, _, attribute = cli.COMMANDS[name][0].partition(":")
    assert isinstance(getattr(import_module(f"hwnat.cli.{module}"), attribute), click.Command)


def test_the_version_is_told():
    code, out, _ = hwnat("--version")
    assert code == 0
    assert __version__ in out
