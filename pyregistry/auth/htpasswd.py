"""HTTP Basic against an htpasswd file that is read again when it changes."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import structlog

from pyregistry.auth.access import Access, BaseAuthenticator, Fault, Origin, Principal, quoted
from pyregistry.auth.access_file import access_file
from pyregistry.auth.credentials import MAX_USER_BYTES, Credentials, Users
from pyregistry.auth.hashes import HashRefused, parse_hash, prepare
from pyregistry.auth.htpasswd_lines import HtpasswdEntry, parse_line
from pyregistry.common.reloaded_files import FileUnusable, GivenUp

MAX_LINE_BYTES = 1024
MAX_WARNINGS = 20
"""Warnings about one content: a file of another kind may have a million lines."""

log = structlog.get_logger("pyregistry.auth")


class HtpasswdInvalid(Exception):
    """The file cannot be used; the text says why."""


def parse_htpasswd(content: bytes) -> dict[str, bytes]:
    """Return each user's bcrypt hash. Warn of lines without one, by number and user, and never quote them.

    The last line of a user counts, as in the CNCF registry, also if its hash is unusable: the password that an earlier
    line had is not the user's any more.
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
        """Blocks. Raises HtpasswdInvalid."""
        given_up = GivenUp(Users({}), "every login is refused")
        try:
            self._file = access_file(path, "htpasswd file", _users_of, _describe, given_up)
        except FileUnusable as error:
            raise HtpasswdInvalid(f"{path}: {error}") from error

    def users(self) -> Users:
        """At this moment: of the content that was good last, and none a minute after the file could last be used."""
        return self._file.value

    def start(self) -> None:
        """See ReloadedFiles.start."""
        self._file.start()

    def close(self) -> None:
        """Stop looking."""
        self._file.close()


def _users_of(content: bytes) -> Users:
    users = parse_htpasswd(content)
    if not users:
        log.error("htpasswd file has no user with a bcrypt password (make one with htpasswd -Bn USER)")
    return Users(users)


def _describe(users: Users) -> dict[str, object]:
    return {"users": len(users.hashes)}


class HtpasswdAuthenticator(BaseAuthenticator):
    """`auth.htpasswd` of the config."""

    def __init__(self, path: Path, realm: str) -> None:
        """Blocks. Raises HtpasswdInvalid."""
        self.realm = realm
        self._file = PasswordFile(path)
        prepare()
        self._credentials = Credentials(self._file.users)

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Unknown user and wrong password look and cost the same. Raises TooManyRequests for too many of them."""
        return await self._credentials.authenticate(authorization, address)

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """See Authenticator.recognize."""
        return self._credentials.recognize(authorization, address)

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """See Authenticator.challenge."""
        return f"Basic realm={quoted(self.realm)}"

    @property
    def passwords(self) -> "HtpasswdAuthenticator":
        """See Authenticator.passwords."""
        return self

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        """See Credentials.verify."""
        return await self._credentials.verify(user, password, address)

    def stamp(self, user: str) -> str | None:
        """Return what changes with the password of a user, None for one whom the file does not have now."""
        stored = self._file.users().hashes.get(user)
        return None if stored is None else blake2b(stored, digest_size=8).hexdigest()

    @property
    def refused(self) -> Mapping[str, int]:
        """Logins of this process that were refused, by the reason."""
        return self._credentials.refused

    @property
    def waiting(self) -> int:
        """Passwords that wait to be checked."""
        return self._credentials.waiting

    def start(self) -> None:
        """See Authenticator.start: notice changes of the file, until close."""
        self._file.start()

    def close(self) -> None:
        """See Authenticator.close."""
        self._file.close()
        self._credentials.close()


def _lines(content: bytes) -> Iterator[tuple[int, str | None, bytes, str]]:
    """Number, user, hash and the reason why the hash is not accepted; without a user where there is no valid name."""
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
