"""A handshake with a server of these settings."""

from pathlib import Path

from pyregistry.config.schema import Tls
from pyregistry.service.tls import Certificate
from tests.authority import Authority
from tests.test_tls import Handshake


def shake(tls: Tls, authority: Authority, client: tuple[Path, Path] | None = None) -> None:
    """Raise SSLError unless a client of this authority and the server take each other."""
    context = authority.context(client or authority.issue("client"))
    Handshake(Certificate(tls).context, context).run()
