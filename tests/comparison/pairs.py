"""Registries to ask, ours and the CNCF registry 3.1.1 side by side, with the same config."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jwt

from pyregistry.auth.trusted_keys import thumbprint
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.auth.signed import Keys, claims, section
from tests.comparison.asking import Answer, Asker
from tests.processes import Server, cncf3_server, pyregistry_server

Login = tuple[tuple[str, str], ...]


def login(user: str | bytes, password: str | bytes) -> Login:
    """The header of a user."""
    return tuple(basic(user, password).items())


ALICE, BOB = login("alice", "secret"), login("bob", "b:b")


@cache
def keys() -> Keys:
    return Keys()


def token_for(repository: str, *actions: str, **changes: Any) -> Login:
    """The header of a token that the registries of the kind `token` take."""
    access = [{"type": "repository", "name": repository, "actions": list(actions)}]
    number = keys().numbers
    key_id = thumbprint(number.public_key())
    token = jwt.encode(claims(access=access, iat=int(time.time()), **changes), number, "RS256", {"kid": key_id})
    return (("Authorization", f"Bearer {token}"),)


def _passwords(directory: Path) -> dict[str, Any]:
    users = {"alice": "secret", "bob": "b:b", "zoë": "süß", "eve": " e ", "mallory": "m" * 80}
    write_htpasswd(directory / "htpasswd", users)
    # One worker, as each counts wrong passwords by itself.
    return {"auth": auth_section(directory / "htpasswd"), "pyregistry": {"workers": 1}}


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "open": lambda directory: {},
    "password": _passwords,
    "urls": lambda directory: {"validation": {"manifests": {"urls": {"allow": [r"^https://good[.]test/"]}}}},
    "token": lambda directory: {"auth": section(directory, keys())},
}
"""The sections of the config in addition to the usual ones."""


@dataclass(frozen=True)
class Pair:
    """Two registries with the same config."""

    cncf: Server
    ours: Server
    images: dict[int, tuple[str, bytes]] = field(default_factory=dict)

    def ask(self, request: Callable[[Asker], Answer]) -> tuple[Answer, Answer]:
        """The answers of both."""
        return request(Asker(self.cncf.port, (), self.images)), request(Asker(self.ours.port, (), self.images))


class Pairs:
    """A pair of each kind, started when it is asked for."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._started: dict[str, Pair] = {}

    def of(self, kind: str) -> Pair:
        if kind not in self._started:
            self._started[kind] = Pair(self._start(kind, cncf3_server), self._start(kind, pyregistry_server))
        return self._started[kind]

    def _start(self, kind: str, make: Callable[..., Server]) -> Server:
        directory = self._directory / f"{kind} {make.__name__}"
        directory.mkdir()
        return self._stack.enter_context(make(directory, **KINDS[kind](directory)))

    def faults(self) -> list[str]:
        """Return the errors inside that ours logged."""
        return [line for pair in self._started.values() for line in pair.ours.faults()]
