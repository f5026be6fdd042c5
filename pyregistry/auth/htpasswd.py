"""HTTP Basic against an htpasswd file that is read again when it changes."""

import os
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from pyregistry.auth.access import Access, Fault, Origin, Principal, quoted
from pyregistry.auth.credentials import MAX_USER_BYTES, Credentials, Users
from pyregistry.auth.htpasswd_lines import Entry, parse_line

BCRYPT_PREFIXES = (b"$2a$", b"$2b$", b"$2y$")
HASH_BYTES = 60
COSTS = range(4, 15)
"""One login at a cost above 14 would take seconds of processor time."""
MAX_FILE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 1024
POLL_SECONDS = 0.5
"""A change counts when it was seen twice, and so is in force after a second."""
REPEAT_SECONDS = 60.0
"""How often it is said that the file is of no use."""

log = structlog.get_logger("pyregistry.auth")


class HtpasswdInvalid(Exception):
    """The file cannot be used; the text says why."""


def parse_htpasswd(content: bytes) -> dict[str, bytes]:
    """User to bcrypt hash; entries of other formats are left out with a warning. Raises HtpasswdInvalid."""
    from passlib.apache import HtpasswdFile  # noqa: PLC0415 - 50 ms, for which no registry without passwords waits

    checked = b"".join(b"%s:%s\n" % entry for entry in _entries(content))
    try:
        file = HtpasswdFile.from_string(checked)
        hashes = {user: bytes(file.get_hash(user)) for user in file.users()}
    except ValueError as error:
        # Not in its words, which may quote the file.
        raise HtpasswdInvalid("not an htpasswd file: a user's name is not UTF-8, or has control characters") from error
    users = {}
    for user, stored in hashes.items():
        if reason := refusal(stored):
            log.warning(f"htpasswd entry left out: {reason}", user=user)
        else:
            users[user] = stored
    if not users:
        raise HtpasswdInvalid("no user with a bcrypt password (make one with htpasswd -Bn USER)")
    return users


def refusal(stored: bytes) -> str | None:
    """Why this hash is not accepted; None if it is."""
    if not stored.startswith(BCRYPT_PREFIXES):
        return f"{_format_of(stored)}, only bcrypt is accepted (htpasswd -B)"
    if not stored[4:6].isdigit() or int(stored[4:6]) not in COSTS:
        return "the bcrypt cost is not 4 to 14"
    if len(stored) != HASH_BYTES:
        return f"a bcrypt hash has {HASH_BYTES} characters, this one {len(stored)}"
    return None


class PasswordFile:
    """The users of an htpasswd file: those of its last good content."""

    def __init__(self, path: Path) -> None:
        """Blocks. Raises HtpasswdInvalid."""
        self._path = path
        self._end = threading.Event()
        self._content: bytes | None = None
        """What was read last, good or not."""
        self._trouble = ""
        """Why it is not good."""
        self._mode = 0
        self._complained: tuple[str, float] = ("", 0.0)
        self._in_force: object = None
        """The signature of the content that is known; None: to be read again."""
        self._seen: object = None
        self._load(self._signature())

    def users(self) -> Users:
        """At this moment."""
        return self._users

    def start(self) -> None:
        """Look at the file regularly, in a thread of its own: neither requests nor a busy storage can delay it.

        Blocks, first, for what has changed since it was read: this process may be one that replaces another.
        """
        self._take(settled=False)
        threading.Thread(target=self._watch, name="htpasswd", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._end.set()

    def _watch(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            self._take(settled=True)

    def _take(self, *, settled: bool) -> None:
        """Take over what has changed; `settled`: only if it looks as it did the last time, as editors truncate first.

        Content that is of no use is looked at again and again, since not everything that mends it can be seen.
        """
        try:
            signature = self._signature()
            before, self._seen = self._seen, signature
            if signature != self._in_force and (signature == before or not settled):
                self._load(signature)
        except HtpasswdInvalid as error:
            self._complain(str(error))
        except Exception as error:  # the watch has to go on
            self._complain(type(error).__name__)

    def _complain(self, reason: str) -> None:
        last, at = self._complained
        if reason != last or time.monotonic() - at > REPEAT_SECONDS:
            self._complained = reason, time.monotonic()
            log.error("htpasswd file not usable, the last good one stays in force", reason=reason)

    def _load(self, signature: object) -> None:
        self._check_mode()
        content = self._read()
        if content != self._content:
            again, self._content = self._content is not None, content
            self._trouble = self._parse(content)
            if again and not self._trouble:
                log.info("htpasswd file read again", users=len(self._users.hashes))
        if self._trouble:
            raise HtpasswdInvalid(self._trouble)
        # If it changed while it was read, or so shortly before that a second change would look the same, once more.
        self._in_force = signature if signature == self._signature() and self._is_old() else None
        self._complained = ("", 0.0)

    def _parse(self, content: bytes) -> str:
        try:
            self._users = Users(parse_htpasswd(content))
        except HtpasswdInvalid as error:
            return str(error)
        return ""

    def _check_mode(self) -> None:
        mode = stat.S_IMODE(self._stat().st_mode)
        if mode & stat.S_IWOTH:
            raise HtpasswdInvalid(f"{self._path}: everybody on this machine may write to it (mode {mode:04o})")
        if mode & stat.S_IROTH and mode != self._mode:
            log.warning(
                "htpasswd file can be read by everybody on this machine", path=str(self._path), mode=f"{mode:04o}"
            )
        self._mode = mode

    def _signature(self) -> object:
        found = self._stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _is_old(self) -> bool:
        return abs(time.time() - self._stat().st_mtime) > 0.1  # more than the kernel's clock for files is late

    def _stat(self) -> os.stat_result:
        try:
            return self._path.stat()
        except OSError as error:
            raise HtpasswdInvalid(f"{self._path}: {error.strerror}") from error

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise HtpasswdInvalid(f"{self._path}: {error.strerror}") from error


class HtpasswdAuthenticator:
    """`auth.htpasswd` of the config."""

    def __init__(self, path: Path, realm: str) -> None:
        """Blocks. Raises HtpasswdInvalid."""
        self._realm = realm
        self._file = PasswordFile(path)
        self._credentials = Credentials(self._file.users)

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Unknown user and wrong password look and cost the same. Raises TooManyRequests for too many of them."""
        return await self._credentials.authenticate(authorization, address)

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """See Authenticator.recognize."""
        return self._credentials.recognize(authorization, address)

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """See Authenticator.challenge."""
        return f"Basic realm={quoted(self._realm)}"

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        """See Credentials.verify."""
        return await self._credentials.verify(user, password, address)

    def knows(self, user: str) -> bool:
        """Whether the file has that user, at this moment."""
        return user in self._file.users().hashes

    def start(self) -> None:
        """Notice changes of the file, until close. Blocks; after the fork."""
        self._file.start()

    def close(self) -> None:
        """Stop the threads."""
        self._file.close()
        self._credentials.close()


def _entries(content: bytes) -> list[Entry]:
    """What a registry wants of a file beyond what passlib does."""
    if len(content) > MAX_FILE_BYTES:
        raise HtpasswdInvalid(f"more than {MAX_FILE_BYTES} bytes")
    entries: list[Entry] = []
    places: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        entry = _entry(number, line)
        if entry is None:
            continue
        if entry.user in places:
            # Apache's server takes the first, the CNCF registry the last.
            name = entry.user.decode(errors="replace")
            raise HtpasswdInvalid(f"the user {name!r} stands in line {places[entry.user]} and in line {number}")
        entries.append(entry)
        places[entry.user] = number
    return entries


def _entry(number: int, line: bytes) -> Entry | None:
    if len(line) > MAX_LINE_BYTES:
        raise HtpasswdInvalid(f"line {number} has more than {MAX_LINE_BYTES} bytes")
    with suppress(ValueError):
        entry = parse_line(line)
        if entry is None or (b":" not in entry.stored and 0 < len(entry.user) <= MAX_USER_BYTES):
            return entry
    raise HtpasswdInvalid(f"not an htpasswd file: line {number} is not USER:HASH")


_FORMATS = {b"$apr1$": "MD5", b"$1$": "MD5", b"{SHA}": "SHA-1", b"$5$": "SHA-256", b"$6$": "SHA-512"}


def _format_of(stored: bytes) -> str:
    for prefix, name in _FORMATS.items():
        if stored.startswith(prefix):
            return name
    return "crypt or plain text" if stored else "no password"
