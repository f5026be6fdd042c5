"""`pyregistry files`: what the image's entry point must know before it drops its rights."""

import typer

from pyregistry.cli.config_file import ConfigFile, load_or_fail
from pyregistry.config.schema import Config


def files(config: ConfigFile = None) -> None:
    """Print the data directory, or an empty line, and then each file that a server with this config has to read."""
    path, loaded = load_or_fail(config)
    storage = loaded.storage.filesystem
    typer.echo(storage.root_directory if storage else "")
    for file in [str(path), *_named(loaded)]:
        typer.echo(file)


def _named(config: Config) -> list[str]:
    tls, htpasswd = config.http.tls, config.auth.htpasswd
    named = [tls.certificate, tls.key, *tls.client_cas, htpasswd.path if htpasswd else ""]
    return [file for file in named if file]
