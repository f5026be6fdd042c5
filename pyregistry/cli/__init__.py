"""The command line: one file per command, and `registry.py` for the CNCF registry's names of them."""

import sys

from pyregistry.common.early import hold_hangup

hold_hangup(sys.argv[1:])  # a SIGHUP during the imports below would end a server

import typer  # noqa: E402 - SIGHUP has to be held before this import, which takes a while

from pyregistry import __version__  # noqa: E402 - SIGHUP has to be held before this import, which takes a while
from pyregistry.cli.commands import Commands  # noqa: E402 - SIGHUP has to be held before this import, which takes a while
from pyregistry.cli.failure import CommandFailed  # noqa: E402 - SIGHUP has to be held before this import, which takes a while
from pyregistry.cli.output import say  # noqa: E402 - SIGHUP has to be held before this import, which takes a while
from pyregistry.cli.standard_output import checked_output  # noqa: E402 - SIGHUP has to be held before this import, which takes a while

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
    """Options before a command."""


def main() -> None:
    """Run `pyregistry`; a command that fails exits with 2 or its own status."""
    try:
        with checked_output(sys.argv[1] if len(sys.argv) > 1 else ""):
            app()
    except CommandFailed as failed:
        for line in failed.lines:
            say(f"pyregistry: {line}", err=True)
        sys.exit(failed.status or FAILED)
