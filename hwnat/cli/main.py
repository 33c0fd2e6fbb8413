"""Entry point of `hwnat`: finds commands by name, turns errors into one line and an exit code."""

import errno
import io
import os
import select
import signal
import sys
import threading
from importlib import import_module
from typing import Final

import click

import hwnat
from hwnat.cli.echo import echo
from hwnat.errors import HwnatError, UsageError
from hwnat.records.text import visible

#: Name of a command or group, "module:object" in hwnat.cli, and its line in `hwnat --help`.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo:demo", "Run the whole chain on this machine."),
    "device": ("device:device", "List devices, add one, and check it."),
    "bench": ("bench:bench", "Time model files and compare them."),
    "arch": ("arch:arch", "Print the parameters, MACs and operations of a network."),
    "profile": ("profile:profile", "Measure a device and write its latency table."),
    "table": ("table:table", "Show, import, check and compare latency tables."),
    "predict": ("predict:predict", "Predict the latency of a network."),
    "supernet": ("supernet:supernet", "Train a supernet or describe its weights."),
    "search": ("search:search", "Search for accurate and fast networks."),
    "export": ("export:export", "Write a network of a search as checked model files."),
}
_INTERRUPTED: Final = 130
#: Optional package -> the extra that installs it.
_EXTRAS: Final = {
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "ai_edge_litert": "tflite",
    "scipy": "predict",
    "sklearn": "predict",
    "pymoo": "search",
    "moocore": "search",
    "torch": "onnx",
    "safetensors": "train",
    "PIL": "train",
}
#: Command -> the extra to name instead, because it installs everything the command needs.
_EXTRAS_OF: Final = {
    "demo": dict.fromkeys(_EXTRAS, "all"),
    "search": dict.fromkeys(("torch", "scipy", "sklearn"), "search"),
    "supernet": dict.fromkeys(("torch", "sklearn"), "train"),
}


class LazyGroup(click.Group):
    """Loads a command's module when it is called; `--help` loads none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the stages."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"hwnat.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest the nearest name if it does not exist."""
        from difflib import get_close_matches

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hwnat.__version__, prog_name="hwnat")
def app() -> None:
    """From a device to verified, deployable networks.

    Measure a device, predict latencies, search for networks, export and check them. Results
    go to stdout, messages to stderr. Exit codes: 0 ok, 1 check failed, 2 usage, 3 bad data,
    4 device, 5 inconclusive, 130 interrupted.
    """


def _end_orderly() -> None:
    """Take SIGTERM and SIGHUP for Control-C, so that a device gets its settings back."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) == signal.SIG_DFL:  # `nohup` ignores one of them
            signal.signal(name, signal.default_int_handler)


def _make_streams_safe() -> None:
    """Make sure that no character and no closed stream causes an error."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The next opened file would get this number, and everything printed would go into it.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _extra(missing: ModuleNotFoundError) -> str | None:
    """Return the extra that installs a missing package; None if no extra does."""
    package, command = str(missing.name).partition(".")[0], next(iter(sys.argv[1:]), "")
    return _EXTRAS_OF.get(command, {}).get(package) or _EXTRAS.get(package)


def main() -> None:
    """Run the command line and leave with its exit code; never a traceback on bad input."""
    _end_orderly()
    _make_streams_safe()
    stdout = sys.stdout
    try:
        status = app.main(prog_name="hwnat", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit:
        # Click ends like this if a pipe is broken, and replaces the stream.
        if sys.stdout is stdout:
            raise
        status = _broken_pipe(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except (click.ClickException, HwnatError) as error:
        _fail(_message(error))
        status = error.exit_code
    except ModuleNotFoundError as error:
        status = _missing(error)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; run the same command again to continue.")
        status = _INTERRUPTED
    except OSError as error:
        status = _broken_pipe(error) if isinstance(error, BrokenPipeError) else _unusable(error)
    sys.exit(status if isinstance(status, int) else 0)


def _message(error: click.ClickException | HwnatError) -> str:
    """Return the message of an error; a usage error also names the help to read."""
    if isinstance(error, HwnatError):
        return str(error)
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "hwnat"
    return f"{error.format_message()} See: {where} --help"


def _missing(error: ModuleNotFoundError) -> int:
    """Report a package that is not installed, and return the exit code.

    Raises:
        ModuleNotFoundError: no extra brings the package, so this is a defect.
    """
    extra = _extra(error)
    if extra is None:
        raise error
    _fail(f"{error.name} is not installed. Install it with: pip install 'hwnat[{extra}]'")
    return UsageError.exit_code


def _fail(message: str) -> None:
    """Print an error as one line."""
    echo(f"hwnat: {visible(message, lines=False)}", err=True)


def _unusable(error: OSError) -> int:
    """Report a path that cannot be used, and return the exit code."""
    where = f"Cannot use {error.filename}" if error.filename else "Cannot continue"
    _fail(f"{where}: {error.strerror or error}. Free up space or choose another path.")
    return UsageError.exit_code


def _broken_pipe(error: OSError) -> int:
    """Return the exit code after a broken pipe; it is 0 if the reader of stdout has left.

    This happens in `hwnat table show | head`.
    """
    poll = select.poll()
    poll.register(1, 0)
    if not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        return _unusable(error)
    # Python flushes stdout at its end, and would complain.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return 0


if __name__ == "__main__":
    main()
