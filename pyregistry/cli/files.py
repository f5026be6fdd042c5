"""The files that a server with a config has to read, for whoever gives it the right to."""

from pathlib import Path

from pyregistry.config.schema import Config


def needed_files(path: Path, config: Config) -> list[str]:
    """Return the config file and all that it names: what a server has to be able to read."""
    tls, auth, rules = config.http.tls, config.auth.chosen, config.pyregistry.access
    named = [tls.certificate, tls.key, *tls.client_cas]
    if auth is not None:
        named += auth.files
    if isinstance(rules, str):
        named.append(rules)
    return [str(path), *(file for file in named if file)]
