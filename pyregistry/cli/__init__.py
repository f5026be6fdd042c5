"""The command line: one file per command, and `registry.py` for the CNCF registry's names of them."""

import sys

import typer

from pyregistry import __version__
from pyregistry.cli.commands import Commands
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.output import say
from pyregistry.cli.standard_output import checked_output

FAILED = 2

app = typer.Typer(
    name="pyregistry",
    help="A private OCI and Docker registry on one directory.",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pyregistry {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", "-v", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options that stand before a command."""


def main() -> None:
    """The entry point `pyregistry`; a command that cannot do what it was asked to ends with 2 or its own status."""
    try:
        with checked_output(serves=sys.argv[1:2] == ["serve"]):
            app()
    except CommandFailed as failed:
        for line in failed.lines:
            say(f"pyregistry: {line}", err=True)
        sys.exit(failed.status or FAILED)
