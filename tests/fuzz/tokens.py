"""A service that is shown tokens."""

from functools import cache

import jwt

from pyregistry.auth.access import Principal
from pyregistry.auth.keys import KeyRing
from pyregistry.auth.policy import Policy
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.auth.tokens import TokenService
from pyregistry.oci.errors import Unauthorized
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from tests.storage.pushing import secret_on

RULES = [{"repositories": "**", "who": "everyone", "actions": "pull"}]


class _Users:
    """Every name is a user, and no password is right."""

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        raise Unauthorized

    def stamp(self, user: str) -> str | None:
        return "a stamp"


@cache
def _service() -> tuple[TokenService, KeyRing]:
    keys = KeyRing(secret_on(MemoryDriver(), layout.TOKEN_KEYS))
    return TokenService(_Users(), "realm", keys, CurrentPolicy(Policy.parse(RULES, {}))), keys


async def show_token(*, signed: bool, content: bytes) -> None:
    """Show a token; `signed` makes a good one with these bytes as its claims."""
    service, keys = _service()
    text = content.decode(errors="surrogateescape")
    if signed:
        key = keys.signing()
        text = jwt.PyJWS().encode(content, key.secret, "HS256", {"kid": key.id})
    try:
        principal = await service.authenticate(text)
    except Unauthorized:
        return
    assert signed
    assert principal.scope is not None
    assert service.recognize(text) == principal
