"""The command line: one file per command."""

import typer

from pyregistry import __version__
from pyregistry.cli.check_config import check_config
from pyregistry.cli.du import du
from pyregistry.cli.fsck import fsck
from pyregistry.cli.ls import ls
from pyregistry.cli.rm import rm
from pyregistry.cli.serve import serve

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
app.command()(ls)
app.command()(du)
app.command()(rm)
app.command()(fsck)


def main() -> None:
    """The entry point `pyregistry`."""
    app()
