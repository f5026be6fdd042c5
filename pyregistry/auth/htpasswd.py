"""HTTP Basic against an htpasswd file, with bcrypt only once per credential.

A verified pair is remembered as a keyed hash that includes the stored hash, so that a changed password misses at
once and a removed user never gets as far. The key is random per process and never leaves it.
"""

import asyncio
import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes

import bcrypt
import structlog
from passlib.apache import HtpasswdFile

from pyregistry.auth.access import Access, Fault, Origin, Principal, quoted
from pyregistry.oci.errors import Unauthorized

BCRYPT_PREFIXES = (b"$2a$", b"$2b$", b"$2y$")
COSTS = range(4, 15)
"""One login at a cost above 14 would take seconds of processor time."""
REMEMBERED = 1_000
REMEMBER_SECONDS = 300.0
RELOAD_SECONDS = 1.0
BCRYPT_BYTES = 72
"""Apache's tool ignores what is behind; bcrypt 5 would raise."""

log = structlog.get_logger("pyregistry.auth")


class HtpasswdInvalid(Exception):
    """The file cannot be used; the text says why."""


def parse_htpasswd(content: bytes) -> dict[str, bytes]:
    """User to bcrypt hash; entries of other formats are left out with a warning. Raises HtpasswdInvalid."""
    try:
        file = HtpasswdFile.from_string(content)
    except ValueError as error:
        raise HtpasswdInvalid(f"not an htpasswd file: {error}") from error
    users = {}
    for user in file.users():
        stored: bytes = file.get_hash(user)
        if not stored.startswith(BCRYPT_PREFIXES):
            log.warning("htpasswd entry left out: only bcrypt is accepted (htpasswd -B)", user=user)
        elif not stored[4:6].isdigit() or int(stored[4:6]) not in COSTS:
            log.warning("htpasswd entry left out: the bcrypt cost is not 4 to 14", user=user)
        else:
            users[user] = stored
    if not users:
        raise HtpasswdInvalid("no user with a bcrypt password (make one with htpasswd -Bn USER)")
    return users


class HtpasswdAuthenticator:
    """`auth.htpasswd` of the config. The file is read again when it changes; a bad one keeps the last good users."""

    def __init__(self, path: Path, realm: str) -> None:
        self._path = path
        self._realm = realm
        self._signature = self._stat()  # first, so that a change in between is seen
        self._users = self._read()
        self._checked_at = time.monotonic()
        self._dummy = _dummy_hash(self._users)
        self._key = token_bytes(32)
        self._verified: OrderedDict[bytes, float] = OrderedDict()
        self._bcrypt = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")  # never the pool that serves files

    async def authenticate(self, authorization: Sequence[str]) -> Principal:
        """Unknown user, wrong password and malformed header look and cost the same."""
        credential = parse_basic(authorization)
        if credential is None or not await self.verify(*credential):
            raise Unauthorized
        return Principal(credential[0])

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """See Authenticator.challenge."""
        return f"Basic realm={quoted(self._realm)}"

    async def verify(self, user: str, password: bytes, address: str = "") -> bool:
        """Whether it is the password of that user, who may be unknown."""
        await self._reload()
        stored = self._users.get(user)
        tag = blake2b(
            b"\0".join((user.encode(), password, stored or self._dummy)), key=self._key, digest_size=32
        ).digest()
        if stored is None or not self._remembers(tag):
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._bcrypt, _check, password, stored or self._dummy)
            if stored is None or not right:
                return False
            self._remember(tag)
        return True

    async def knows(self, user: str) -> bool:
        """Whether the file has that user."""
        await self._reload()
        return user in self._users

    def close(self) -> None:
        """Stop the bcrypt thread."""
        self._bcrypt.shutdown(wait=False, cancel_futures=True)

    def _remembers(self, tag: bytes) -> bool:
        return self._verified.get(tag, 0.0) > time.monotonic()

    def _remember(self, tag: bytes) -> None:
        self._verified[tag] = time.monotonic() + REMEMBER_SECONDS
        while len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)

    async def _reload(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < RELOAD_SECONDS:
            return
        self._checked_at = now
        await asyncio.get_running_loop().run_in_executor(None, self._reload_if_changed)

    def _reload_if_changed(self) -> None:
        try:
            signature = self._stat()
            if signature != self._signature:
                self._users = self._read()
                self._dummy = _dummy_hash(self._users)
                self._signature = signature  # last: a file that could not be read is tried again
                log.info("htpasswd file read again", users=len(self._users))
        except HtpasswdInvalid as error:
            log.error("htpasswd file not usable, the last good one stays in force", reason=str(error))

    def _stat(self) -> tuple[int, int, int, int]:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise HtpasswdInvalid(f"{self._path}: {error.strerror}") from error
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _read(self) -> dict[str, bytes]:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise HtpasswdInvalid(f"{self._path}: {error.strerror}") from error
        return parse_htpasswd(content)


def parse_basic(authorization: Sequence[str]) -> tuple[str, bytes] | None:
    """User and password of a request that shows exactly one well-formed pair."""
    if len(authorization) != 1:
        return None
    scheme, _, encoded = authorization[0].partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 2048:
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        name = user.decode()
    except (binascii.Error, ValueError):
        return None
    if not colon or not name or len(user) > 255 or len(password) > 1024 or b"\0" in password:
        return None
    return name, password


def _check(password: bytes, stored: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:BCRYPT_BYTES], stored)
    except ValueError:  # a damaged hash
        return False


def _dummy_hash(users: dict[str, bytes]) -> bytes:
    # As dear as the dearest real one, or timing would tell which users exist.
    cost = max(int(stored[4:6]) for stored in users.values())
    return bcrypt.hashpw(token_bytes(16).hex().encode(), bcrypt.gensalt(cost))
