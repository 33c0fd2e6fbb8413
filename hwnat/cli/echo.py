"""The one way in which commands print a line."""

from contextlib import suppress

import click

from hwnat.records.text import visible


def echo(words: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print words; control characters in them are shown as escapes.

    Nobody has to read stderr: if it is closed, the words are dropped and the work goes on.

    Args:
        words: printed as `str` writes them.
        err: print to stderr.
        nl: end with a line break.
    """
    text = visible(str(words))
    if err:
        with suppress(OSError):
            click.echo(text, err=True, nl=nl)
    else:
        click.echo(text, nl=nl)
