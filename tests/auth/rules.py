"""A registry with rules: who they are about, and how to start it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask

PASSWORDS = {"admin": "root-7431", "ci": "machine-9962", "guest": "nobody-5518"}
ADMIN, CI, GUEST = (basic(user, password) for user, password in PASSWORDS.items())
ACCESS: list[dict[str, Any]] = [
    {"repositories": "**", "who": "admin", "actions": ["pull", "push", "delete"]},
    {"repositories": "ci/**", "who": "ci", "actions": ["pull", "push"]},
    {"repositories": "public/**", "who": "everyone", "actions": "pull"},
]


async def start_with_rules(
    start_registry: StartRegistry, directory: Path, rules: object = ACCESS, **sections: Any
) -> Client:
    """A registry for the three users, with these rules or this file of rules."""
    write_htpasswd(directory / "htpasswd", PASSWORDS)
    own = {"access": str(rules) if isinstance(rules, Path) else rules, **sections.pop("pyregistry", {})}
    return await start_registry(auth=auth_section(directory / "htpasswd"), pyregistry=own, **sections)


async def token_for(client: Client, headers: dict[str, str], scopes: Sequence[str]) -> str:
    """Return the token endpoint's answer for these scopes."""
    query = urlencode([("service", "pyregistry"), *(("scope", scope) for scope in scopes)])
    answer = await ask(client, "GET", f"/auth/token?{query}", headers)
    assert answer.status == 200, answer
    token: str = answer.json()["token"]
    return token


def bearer(token: str) -> dict[str, str]:
    """The Authorization header that shows a token."""
    return {"Authorization": f"Bearer {token}"}
