"""HTTP Basic against an htpasswd file that is reloaded when it changes."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import structlog

from pyregistry.auth.access import Access, BaseAuthenticator, Fault, Origin, PasswordStore, Principal, quoted
from pyregistry.auth.access_file import access_file
from pyregistry.auth.credentials import MAX_USER_BYTES, Credentials, Users
from pyregistry.auth.hashes import HashRefused, parse_hash, prepare
from pyregistry.auth.htpasswd_lines import HtpasswdEntry, parse_line
from pyregistry.common.overriding import override
from pyregistry.common.reloaded_files import FileUnusable, GivenUp

MAX_LINE_BYTES = 1024
MAX_WARNINGS = 20
"""Warnings about one file: another kind of file may have a million lines."""

log = structlog.get_logger("pyregistry.auth")


class HtpasswdInvalid(Exception):
    """The file is unusable; the text says why."""


def parse_htpasswd(content: bytes) -> dict[str, bytes]:
    """Return each user's bcrypt hash. Warn of lines without one, by number and user, without quoting them.

    The last line of a user counts, as in the CNCF registry, even if its hash is unusable: the earlier password was
    replaced.
    """
    users: dict[str, bytes] = {}
    warnings: list[tuple[str, dict[str, object]]] = []
    for number, user, stored, reason in _lines(content):
        if user is None:
            warnings.append((f"htpasswd line left out: {reason}", {"line": number}))
            continue
        if user in users:
            del users[user]
            warnings.append(("htpasswd user has several lines, the last one counts", {"line": number, "user": user}))
        if reason:
            warnings.append((f"htpasswd entry left out: {reason}", {"line": number, "user": user}))
        else:
            users[user] = stored
    for text, fields in warnings[:MAX_WARNINGS]:
        log.warning(text, **fields)
    if len(warnings) > MAX_WARNINGS:
        log.warning("more htpasswd lines left out", lines=len(warnings) - MAX_WARNINGS)
    return users


class PasswordFile:
    """The users of an htpasswd file."""

    def __init__(self, path: Path) -> None:
        """Load the file. Blocks. Raises HtpasswdInvalid."""
        given_up = GivenUp(Users({}), "every login is refused")
        try:
            self._file = access_file(path, "htpasswd file", _users_of, _describe, given_up)
        except FileUnusable as error:
            raise HtpasswdInvalid(f"{path}: {error}") from error

    def users(self) -> Users:
        """Return the current users, those of the last valid content; none a minute after the file was last usable."""
        return self._file.value

    def start(self) -> None:
        """Watch the file until `close`. Blocks for the first check, after the fork."""
        self._file.start()

    def close(self) -> None:
        """Stop watching."""
        self._file.close()


def _users_of(content: bytes) -> Users:
    users = parse_htpasswd(content)
    if not users:
        log.error("htpasswd file has no user with a bcrypt password (make one with htpasswd -Bn USER)")
    return Users(users)


def _describe(users: Users) -> dict[str, object]:
    return {"users": len(users.hashes)}


class HtpasswdAuthenticator(BaseAuthenticator, PasswordStore):
    """`auth.htpasswd` of the config. An unknown user and a wrong password look and cost the same."""

    def __init__(self, path: Path, realm: str) -> None:
        """Load the file. Blocks. Raises HtpasswdInvalid."""
        self.realm = realm
        self._file = PasswordFile(path)
        prepare()
        self._credentials = Credentials(self._file.users)

    @override
    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        return await self._credentials.authenticate(authorization, address)

    @override
    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        return self._credentials.recognize(authorization, address)

    @override
    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        return f"Basic realm={quoted(self.realm)}"

    @property
    @override
    def passwords(self) -> "HtpasswdAuthenticator":
        return self

    @override
    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        return await self._credentials.verify(user, password, address)

    @override
    def stamp(self, user: str) -> str | None:
        stored = self._file.users().hashes.get(user)
        return None if stored is None else blake2b(stored, digest_size=8).hexdigest()

    @property
    @override
    def refused(self) -> Mapping[str, int]:
        return self._credentials.refused

    @property
    @override
    def waiting(self) -> int:
        return self._credentials.waiting

    @override
    def start(self) -> None:
        self._file.start()

    @override
    def close(self) -> None:
        self._file.close()
        self._credentials.close()


def _lines(content: bytes) -> Iterator[tuple[int, str | None, bytes, str]]:
    """Yield number, user, hash and the reason for rejecting the hash; user None if the name is invalid."""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entry = parse_line(line)
        except ValueError:
            yield number, None, b"", "it is not USER:HASH"
            continue
        if entry is None:
            continue
        user = _name(entry)
        if user is None:
            yield number, None, b"", "its user is empty, too long, not UTF-8, or has a tab or a NUL"
        elif len(line) > MAX_LINE_BYTES:
            yield number, user, b"", f"the line has more than {MAX_LINE_BYTES} bytes"
        else:
            try:
                yield number, user, parse_hash(entry.stored), ""
            except HashRefused as error:
                yield number, user, b"", str(error)


def _name(entry: HtpasswdEntry) -> str | None:
    try:
        name = entry.user.decode()
    except UnicodeDecodeError:
        return None
    is_valid = 0 < len(entry.user) <= MAX_USER_BYTES and "\0" not in name and "\t" not in name
    return name if is_valid else None
