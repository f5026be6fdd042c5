"""The command line under the name `registry`, which is the CNCF registry's: its commands, flags, words and statuses.

The commands themselves are ours. What is here is how they are called: `registry serve CONFIG` and
`registry garbage-collect CONFIG`, in a cron job or a `docker exec` that was written for the CNCF registry.

One thing differs: that registry ends with 0 where a command or a flag is misspelt, and a cron job never learns of it.
Here that is 2.
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
    help="The commands of the CNCF registry, carried out by pyregistry.",
    add_completion=False,
    rich_markup_mode=None,  # plain text, which is what scripts have seen so far
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
    """Options that stand before a command."""


app.command()(serve)


def _add_garbage_collect() -> None:
    app.command("garbage-collect")(collecting.gc)


@app.command("help")
def show_help(command: Annotated[str | None, typer.Argument(metavar="COMMAND")] = None) -> None:
    """Help about a command."""
    app([command, "--help"] if command else ["--help"], prog_name=PROGRAM)


def main() -> None:
    """The entry point `registry`."""
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
    """To standard error, as it answers a mistake."""
    with redirect_stdout(sys.stderr), suppress(SystemExit):
        app([*command, "--help"], prog_name=PROGRAM)


def without_values(arguments: Sequence[str]) -> Iterator[str]:
    """Go's flags may be given a value: `--dry-run=true` is `--dry-run`, and `--dry-run=false` is nothing."""
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
