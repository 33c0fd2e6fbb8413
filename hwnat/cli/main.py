"""Entry point of `hwnat`: finds commands by name, turns errors into one line and an exit code."""

import signal
import sys
import threading
from importlib import import_module
from typing import Final

import click

import hwnat
from hwnat.errors import HwnatError, UsageError

#: Name of a command or group, "module:object" in hwnat.cli, and its line in `hwnat --help`.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo:demo", "The whole chain on this machine."),
    "device": ("device:device", "List devices and check that they can be measured."),
    "arch": ("arch:arch", "Parameters, MACs and operations of a network."),
    "profile": ("profile:profile", "Measure a device: its latency table of a space."),
    "table": ("table:table", "Show a latency table, or build it from measurements."),
    "predict": ("predict:predict", "Latency of a network from a table."),
    "supernet": ("supernet:supernet", "Train a supernet or describe one."),
    "search": ("search:search", "Find the best networks for objectives and limits."),
    "export": ("export:export", "Write chosen networks as files and check them."),
}
_INTERRUPTED: Final = 130
#: The extra that brings a package which not every machine has.
_EXTRAS: Final = {
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "ai_edge_litert": "tflite",
    "scipy": "predict",
    "sklearn": "predict",
    "pymoo": "search",
    "moocore": "search",
    "torch": "train",
    "safetensors": "train",
    "PIL": "train",
}


class LazyGroup(click.Group):
    """Loads a command's module when it is called; `--help` loads none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the work."""
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
        """Find the command; the nearest name is offered for one that does not exist."""
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

    Measure a device, predict latencies, search for networks, export and check them. Data goes
    to stdout and words to stderr. Exit codes: 0 ok, 1 gate failed, 2 usage, 3 bad data,
    4 device, 5 inconclusive, 130 interrupted.
    """


def _end_orderly() -> None:
    """Take SIGTERM and SIGHUP for Control-C, so that a device gets its settings back."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) == signal.SIG_DFL:  # `nohup` ignores one of them
            signal.signal(name, signal.default_int_handler)


def main() -> None:
    """Run the command line and leave with its exit code; never a traceback on bad input."""
    _end_orderly()
    try:
        status = app.main(prog_name="hwnat", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "hwnat"
        click.echo(f"hwnat: {error.format_message()} See: {where} --help", err=True)
        status = error.exit_code
    except HwnatError as error:
        click.echo(f"hwnat: {error}", err=True)
        status = error.exit_code
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        say = f"{error.name} is not installed; install it with: pip install 'hwnat[{extra}]'"
        click.echo(f"hwnat: {say}", err=True)
        status = UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("hwnat: interrupted; run the same command again to go on.", err=True)
        status = _INTERRUPTED
    except BrokenPipeError:
        # Whoever read stdout has seen enough, as in `hwnat table show | head`.
        sys.stderr.close()
        status = 0
    except OSError as error:
        where = f"Cannot use {error.filename}" if error.filename else "Cannot go on"
        hint = "Free that place, or name another."
        click.echo(f"hwnat: {where}: {error.strerror or error}. {hint}", err=True)
        status = UsageError.exit_code
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
