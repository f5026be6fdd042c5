"""The command line: one file per command, and `registry.py` for the CNCF registry's names of them."""

import sys

import typer

from pyregistry import __version__
from pyregistry.cli import access
from pyregistry.cli.check_config import check_config
from pyregistry.cli.du import du
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.files import files
from pyregistry.cli.fsck import fsck
from pyregistry.cli.gc import gc
from pyregistry.cli.healthcheck import healthcheck
from pyregistry.cli.htpasswd import htpasswd
from pyregistry.cli.ls import ls
from pyregistry.cli.rm import rm
from pyregistry.cli.serve import serve

FAILED = 2

app = typer.Typer(
    name="pyregistry",
    help="A private OCI and Docker registry on one directory.",
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


app.command()(serve)
app.command("check-config")(check_config)
app.command()(gc)
app.command("garbage-collect", hidden=True)(gc)  # as the CNCF registry calls it
# For the image: its health check, and what its entry point has to know.
app.command(hidden=True)(healthcheck)
app.command(hidden=True)(files)
app.command()(htpasswd)
app.add_typer(access.app, name="access")
app.command()(ls)
app.command()(du)
app.command()(rm)
app.command()(fsck)


def main() -> None:
    """The entry point `pyregistry`; a command that cannot do what it was asked to ends with 2 or its own status."""
    try:
        app()
    except CommandFailed as failed:
        typer.echo(f"pyregistry: {failed}", err=True)
        sys.exit(failed.status or FAILED)
