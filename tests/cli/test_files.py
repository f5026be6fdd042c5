"""The files that the image's entry point checks before the server drops its rights."""

from pathlib import Path

import pytest
import yaml

from pyregistry.cli.files import needed_files
from pyregistry.config.load import load

TLS = {"certificate": "/a/cert.pem", "key": "/a/key.pem", "clientcas": ["/a/ca1.pem", "/a/ca2.pem"]}
TOKEN = {"realm": "https://auth.example.org/token", "service": "registry", "issuer": "auth"}
NAMED = {
    "the certificate, its key and the authorities": (
        {"http": {"tls": TLS}},
        ["/a/cert.pem", "/a/key.pem", "/a/ca1.pem", "/a/ca2.pem"],
    ),
    "the passwords": ({"auth": {"htpasswd": {"realm": "r", "path": "/a/htpasswd"}}}, ["/a/htpasswd"]),
    "the keys of a token server": (
        {"auth": {"token": {**TOKEN, "rootcertbundle": "/a/bundle.pem", "jwks": "/a/jwks.json"}}},
        ["/a/bundle.pem", "/a/jwks.json"],
    ),
    "the rules": (
        {"auth": {"htpasswd": {"realm": "r", "path": "/a/htpasswd"}}, "pyregistry": {"access": "/a/rules.yml"}},
        ["/a/htpasswd", "/a/rules.yml"],
    ),
}


@pytest.mark.parametrize(("sections", "files"), NAMED.values(), ids=NAMED)
def test_the_config_and_every_file_that_it_names_are_listed(
    tmp_path: Path, sections: dict[str, object], files: list[str]
) -> None:
    config = tmp_path / "config.yml"
    storage = {"filesystem": {"rootdirectory": "/a/data"}}
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, **sections}))
    assert needed_files(config, load(config, {})[0]) == [str(config), *files]
