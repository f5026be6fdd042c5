"""`auth.silly`: whoever sends an Authorization header is let in, as the CNCF registry does for trials of clients."""

from collections.abc import Sequence

from pyregistry.auth.access import Principal
from pyregistry.oci.errors import Unauthorized


class SillyAuthenticator:
    """Asks for a Bearer token and takes any."""

    def __init__(self, realm: str, service: str) -> None:
        self._challenge = f'Bearer realm="{realm}",service="{service}"'

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """See Authenticator.authenticate."""
        if not any(authorization):
            raise Unauthorized(headers={"WWW-Authenticate": self._challenge})
        return Principal("silly")
