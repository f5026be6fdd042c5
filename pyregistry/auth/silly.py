"""`auth.silly`: whoever sends an Authorization header is let in, as the CNCF registry does for trials of clients."""

from collections.abc import Sequence

from pyregistry.auth.access import Access, BaseAuthenticator, Fault, Origin, Principal
from pyregistry.auth.scopes import bearer_challenge
from pyregistry.oci.errors import Unauthorized


class SillyAuthenticator(BaseAuthenticator):
    """Asks for a Bearer token and takes any."""

    def __init__(self, realm: str, service: str) -> None:
        self._realm = realm
        self._service = service

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """See Authenticator.authenticate."""
        if not any(authorization):
            raise Unauthorized
        return Principal("silly")

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """See Authenticator.recognize."""
        return Principal("silly") if any(authorization) else None

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """See Authenticator.challenge."""
        return bearer_challenge(self._realm, self._service, (), None)
