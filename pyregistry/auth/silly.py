"""`auth.silly`: accepts any Authorization header, as the CNCF registry does, to test clients."""

from collections.abc import Sequence

from pyregistry.auth.access import Access, BaseAuthenticator, Fault, Origin, Principal
from pyregistry.auth.scopes import bearer_challenge
from pyregistry.common.overriding import override
from pyregistry.oci.errors import Unauthorized


class SillyAuthenticator(BaseAuthenticator):
    """Asks for a Bearer token and accepts any."""

    def __init__(self, realm: str, service: str) -> None:
        self._realm = realm
        self._service = service

    @override
    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        if not any(authorization):
            raise Unauthorized
        return Principal("silly")

    @override
    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        return Principal("silly") if any(authorization) else None

    @override
    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        return bearer_challenge(self._realm, self._service, (), None)
