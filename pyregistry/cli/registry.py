"""The command line `registry`, with commands, flags, messages and statuses of the CNCF registry.

The commands themselves are ours. This module accepts `registry serve CONFIG` and `registry garbage-collect CONFIG` of
a cron job or a `docker exec` written for the CNCF registry.

One thing differs: that registry exits with 0 for a misspelt command or flag, which a cron job does not notice. Here it
is 2.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pyregistry import __version__
from pyregistry.cli.failure import CommandFailed, ConfigRefused
from pyregistry.cli.output import say
from pyregistry.cli.serve import serve
from pyregistry.cli.standard_output import checked_output
from pyregistry.common.lazy import lazy

if TYPE_CHECKING:
    from pyregistry.cli import gc as collecting
else:
    collecting = lazy("pyregistry.cli.gc")

PROGRAM = "registry"
FAILED = 1
_FLAGS = frozenset({"-d", "--dry-run", "-m", "--delete-untagged", "-q", "--quiet", "--allow-empty"})
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})

app = typer.Typer(
    name=PROGRAM,
    help="The commands of the CNCF registry, run by pyregistry.",
    add_completion=False,
    rich_markup_mode=None,  # plain text, as scripts know it
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:  # three words; scripts take the last
        typer.echo(f"{sys.argv[0]} pyregistry {__version__}")
        raise typer.Exit


@app.callback(context_settings={"help_option_names": ["-h", "--help"]})
def _options(
    version: bool = typer.Option(
        False, "--version", "-v", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Options before a command."""


app.command()(serve)


def _add_garbage_collect() -> None:
    app.command("garbage-collect")(collecting.gc)


@app.command("help")
def show_help(command: Annotated[str | None, typer.Argument(metavar="COMMAND")] = None) -> None:
    """Show help for a command."""
    app([command, "--help"] if command else ["--help"], prog_name=PROGRAM)


def main() -> None:
    """Run `registry`."""
    arguments = list(without_values(sys.argv[1:]))
    if arguments[:1] != ["serve"]:
        _add_garbage_collect()
    if not arguments:
        _print_usage()
        return
    try:
        with checked_output(arguments[0]):
            app(arguments, prog_name=PROGRAM)
    except ConfigRefused as refused:
        for line in refused.lines:
            say(f"configuration error: {line}", err=True)
        if refused.lines:
            _print_usage(arguments[0])
        sys.exit(FAILED)
    except CommandFailed as failed:
        for line in failed.lines:
            say(line, err=True)
        sys.exit(failed.status or FAILED)


def _print_usage(*command: str) -> None:
    """Print the usage to standard error, after a wrong command."""
    with redirect_stdout(sys.stderr), suppress(SystemExit):
        app([*command, "--help"], prog_name=PROGRAM)


def without_values(arguments: Sequence[str]) -> Iterator[str]:
    """Translate Go's flags with values: `--dry-run=true` to `--dry-run`, and `--dry-run=false` to nothing."""
    words = iter(arguments)
    for word in words:
        flag, _, value = word.partition("=")
        if word == "--":
            yield word
            yield from words
        elif flag not in _FLAGS or value not in _TRUE | _FALSE:
            yield word
        elif value in _TRUE:
            yield flag
