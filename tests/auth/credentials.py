"""An htpasswd file, and the header that a client sends."""

import base64
from pathlib import Path
from typing import Any

import bcrypt

COST = 4
"""The lowest that bcrypt has: a test needs a right answer, not a slow one."""


def hash_of(password: str | bytes, cost: int = COST, prefix: bytes = b"2b") -> str:
    """Return the hash as in a file, made by the bcrypt library alone."""
    secret = password.encode() if isinstance(password, str) else password
    hashed = bcrypt.hashpw(secret[:72], bcrypt.gensalt(cost)).decode()
    return hashed.replace("$2b$", f"${prefix.decode()}$", 1)


def write_htpasswd(path: Path, users: dict[str, str], cost: int = COST) -> None:
    """User to password; replaced in one step, as an editor or Kubernetes does it."""
    temporary = path.with_suffix(".new")
    temporary.write_text("".join(f"{user}:{hash_of(password, cost)}\n" for user, password in users.items()))
    temporary.replace(path)


def auth_section(path: Path, realm: str = "Test Registry") -> dict[str, Any]:
    """`auth` of the config."""
    return {"htpasswd": {"realm": realm, "path": str(path)}}


def basic(user: str | bytes, password: str | bytes) -> dict[str, str]:
    """The Authorization header of `user`."""
    pair = b":".join(part.encode() if isinstance(part, str) else part for part in (user, password))
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
