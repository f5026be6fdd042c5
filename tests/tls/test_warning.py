"""The warning of a registry that is open to all machines, where certificates or rules keep them out."""

from pathlib import Path

import pytest
import yaml

from tests.authority import Authority
from tests.processes import forked_server
from tests.test_tls import TlsServer

OPEN = "may push, pull and delete without a password"
PULL = [{"repositories": "**", "who": "everyone", "actions": ["pull"]}]


def _serving(directory: Path, tls: dict[str, object], own: dict[str, object]) -> TlsServer:
    """A registry without passwords on all addresses, not yet started."""
    made = forked_server(directory, pyregistry={"workers": 1, **own})
    document = yaml.safe_load(made.config.read_text())
    document["http"] = {"addr": f":{made.port}", "tls": tls}
    made.config.write_text(yaml.safe_dump(document))
    return TlsServer(made.command, made.directory, made.port, made.config)


@pytest.mark.parametrize(
    ("client_auth", "own", "warns"),
    [
        (None, {}, True),
        ("require-and-verify-client-cert", {}, False),
        ("", {}, False),
        ("verify-client-cert-if-given", {}, True),
        (None, {"access": PULL}, False),
    ],
    ids=["TLS alone", "certificates", "certificates by default", "certificates if given", "rules"],
)
def test_only_a_registry_that_is_open_is_said_to_be(
    tmp_path: Path, client_auth: str | None, own: dict[str, object], warns: bool
) -> None:
    authority = Authority(tmp_path)
    certificate, key = map(str, authority.issue("server"))
    tls: dict[str, object] = {"certificate": certificate, "key": key}
    if client_auth is not None:
        tls |= {"clientcas": [str(authority.certificate)], "clientauth": client_auth}
    with _serving(tmp_path, tls, own) as server:
        output = server.output()
    assert output.count(OPEN) == warns, output
    local = f"127.0.0.1:{server.port}"
    alone = f"http.addr: {local} (for a container -p {local}:{server.port}) for this machine alone"
    assert (alone in output) == warns, output
