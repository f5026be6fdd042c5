"""`pyregistry files`: what the image's entry point must know before it drops its rights."""

from pathlib import Path

import typer

from pyregistry.cli.config_file import ConfigFile, load_or_fail
from pyregistry.config.schema import Config


def files(config: ConfigFile = None) -> None:
    """Print the data directory, or an empty line, and then each file that a server with this config has to read."""
    path, loaded = load_or_fail(config)
    storage = loaded.storage.filesystem
    typer.echo(storage.root_directory if storage else "")
    for file in needed_files(path, loaded):
        typer.echo(file)


def needed_files(path: Path, config: Config) -> list[str]:
    """Return the config file and all that it names: what a server has to be able to read."""
    tls, htpasswd, token, rules = config.http.tls, config.auth.htpasswd, config.auth.token, config.pyregistry.access
    named = [tls.certificate, tls.key, *tls.client_cas]
    if htpasswd is not None:
        named.append(htpasswd.path)
    if token is not None:
        named += [token.root_cert_bundle, token.jwks]
    if isinstance(rules, str):
        named.append(rules)
    return [str(path), *(file for file in named if file)]
