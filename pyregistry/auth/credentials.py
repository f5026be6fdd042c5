"""Verifies users and passwords at every request, with bcrypt only once per credential.

A verified pair is cached as a keyed hash that includes the stored hash. So a changed password misses the cache at once,
and a removed user is rejected before it. A cache of the last second, by header and address, saves parsing and counting.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from pyregistry.auth.access import Principal
from pyregistry.auth.bcrypt_pool import BcryptPool, PasswordCheck, PoolFull
from pyregistry.auth.hashes import dummy_hash
from pyregistry.auth.keyed_hash import KeyedHash
from pyregistry.auth.throttle import Throttle, network_of, whole_seconds
from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.errors import TooManyRequests, Unauthorized

RIGHT_SECONDS = 300.0
"""Since the last use: memory should not keep longer than useful what can be guessed without bcrypt."""
WRONG_SECONDS = 10.0
ANSWER_SECONDS = 1.0
"""Seconds for which the same header from the same address is accepted without parsing it.

Use does not extend it, so the caches that depend on use see each credential once in that time.
"""
CACHED = 1_000
CACHED_BY_NETWORK = 10_000
MAX_USER_BYTES = 255
MAX_PASSWORD_BYTES = 1024
MAX_ENCODED_BYTES = 2048
BUSY_SECONDS = 2.0
DELAY_SECONDS = 1.0
"""Seconds by which rejections are delayed for an address that gets many, to slow it down."""
DELAYING: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("delaying", default=nullcontext)
"""Context of a request during this delay, in which its connection may be closed in favour of another one."""
LEAST_COST = 4
"""The lowest cost of bcrypt."""

log = structlog.get_logger("pyregistry.auth")


class Refusal(StrEnum):
    """Reasons for rejecting a login, as the metrics name them."""

    WRONG = "wrong"
    """An unknown user or a wrong password."""
    THROTTLED = "throttled"
    """Too many wrong passwords before it, or too many at once: the response is 429."""
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    """A token that expired or is not ours: clients then get another one."""


@dataclass(frozen=True)
class Users:
    """A snapshot of a password file: users with their bcrypt hashes. Without users, a login has the lowest cost."""

    hashes: Mapping[str, bytes]
    _dummies: Mapping[int, bytes] = field(init=False, repr=False)
    _highest: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        costs = [_cost(stored) for stored in self.hashes.values()] or [LEAST_COST]
        object.__setattr__(self, "_highest", max(costs))
        object.__setattr__(self, "_dummies", {cost: dummy_hash(cost) for cost in range(min(costs), max(costs) + 1)})

    def check(self, user: str, password: bytes) -> PasswordCheck:
        """Return the hashes to compute. A wrong password costs the same for every user, known or not.

        A hash of cost c takes 2^c rounds. With one more of each cost from c to h - 1 that is 2^h, h being the highest.
        """
        stored = self.hashes.get(user)
        if stored is None:
            return PasswordCheck(password, self._dummies[self._highest])
        return PasswordCheck(
            password, stored, tuple(self._dummies[cost] for cost in range(_cost(stored), self._highest))
        )


@dataclass(frozen=True, slots=True)
class _Attempt:
    user: str
    network: str
    tag: bytes
    network_tag: bytes
    """The tag, hashed with the network."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """An accepted caller, and the password file that accepted it."""

    principal: Principal
    user: str
    network: str
    users: Users


class Credentials:
    """Checks users and passwords against the current result of `users`. Made before the fork, used after it."""

    def __init__(self, users: Callable[[], Users], clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._hash = KeyedHash()
        self._right = BoundedCache[bytes, bool](limit=CACHED, seconds=RIGHT_SECONDS, clock=clock)
        self._wrong = BoundedCache[bytes, bool](limit=CACHED, seconds=WRONG_SECONDS, clock=clock)
        self._by_network = BoundedCache[bytes, bool](limit=CACHED_BY_NETWORK, seconds=RIGHT_SECONDS, clock=clock)
        self._answers = BoundedCache[bytes, _Answer](limit=CACHED, seconds=ANSWER_SECONDS, clock=clock)
        self._throttle = Throttle(clock)
        self._pool = BcryptPool()
        self._calls: dict[bytes, tuple[str, asyncio.Task[bool]]] = {}
        self.refused: dict[str, int] = {Refusal.WRONG: 0, Refusal.THROTTLED: 0}
        """Rejected logins of this process, by reason."""

    @property
    def waiting(self) -> int:
        """Passwords that wait to be checked."""
        return self._pool.waiting

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Return the user of the Authorization headers; raise as `verify`, also if they are not Basic."""
        known = self.recognize(authorization, address)
        if known is not None:
            return known
        users = self._users()  # read first: if they change meanwhile, the cached answer will never match
        credential = parse_basic(authorization)
        if credential is None:
            raise Unauthorized
        principal = await self.verify(*credential, address)
        answer = _Answer(principal, credential[0], network_of(address), users)
        self._answers.put(self._key(authorization[0], address), answer)
        return principal

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """Return the user accepted with this header from this address within the last second."""
        if len(authorization) != 1:
            return None
        answer = self._answers.get(self._key(authorization[0], address))
        if answer is None or answer.users is not self._users() or self._is_locked_out(answer):
            return None
        return answer.principal

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        """Return the user with this password. `address` is the client's, empty if it has none.

        Raises TooManyRequests, and Unauthorized without a challenge, the same for an unknown user.
        """
        if not 0 < len(_bytes(user)) <= MAX_USER_BYTES or len(password) > MAX_PASSWORD_BYTES or b"\0" in password:
            raise Unauthorized
        users = self._users()
        check = users.check(user, password)
        attempt = self._attempt(user, check, network_of(address))
        if not self._is_cached(attempt):
            try:
                await self._check(attempt, check)
            except (Unauthorized, TooManyRequests) as error:
                self.refused[Refusal.WRONG if isinstance(error, Unauthorized) else Refusal.THROTTLED] += 1
                if not self._throttle.is_answered_at_once(attempt.network):
                    with DELAYING.get()():
                        await asyncio.sleep(DELAY_SECONDS)
                raise
        return Principal(user)

    def close(self) -> None:
        """Stop the bcrypt thread."""
        self._pool.close()

    def _key(self, header: str, address: str) -> bytes:
        return self._hash(f"{header}\0{address}".encode(errors="surrogatepass"))

    def _attempt(self, user: str, check: PasswordCheck, network: str) -> _Attempt:
        # For an unknown user the stored hash is a dummy, which no password has.
        tag = self._digest(_bytes(user), check.password, check.stored)
        return _Attempt(user, network, tag, self._digest(tag, network.encode()))

    def _digest(self, *parts: bytes) -> bytes:
        return self._hash(b"\0".join(parts))

    def _is_cached(self, attempt: _Attempt) -> bool:
        """Return True for a credential that was right a while ago.

        For an address that is throttled it must have been used there before. Otherwise a guesser would notice the right
        one, as it alone is not rejected.
        """
        if attempt.tag not in self._right:
            return False
        if attempt.network_tag in self._by_network:
            if self._is_locked_out(attempt):
                return False
        elif self._throttle.wait(attempt.network, attempt.user):
            return False
        self._right.put(attempt.tag, True)
        self._by_network.put(attempt.network_tag, True)
        return True

    def _is_locked_out(self, by: _Attempt | _Answer) -> bool:
        return self._throttle.is_locked_out(by.network, by.user)

    async def _check(self, attempt: _Attempt, check: PasswordCheck) -> None:
        if attempt.tag in self._wrong:
            raise Unauthorized
        # The file may have been reloaded meanwhile, without the user.
        if not await asyncio.shield(self._call(attempt, check)) or not self._is_current(attempt.user, check):
            raise Unauthorized

    def _call(self, attempt: _Attempt, check: PasswordCheck) -> "asyncio.Task[bool]":
        """Start the check of this credential or join the running one: clients open several connections at once."""
        network, running = self._calls.get(attempt.tag, ("", None))
        wait = self._throttle.wait(attempt.network, attempt.user)
        if running is not None and (network == attempt.network or not wait):
            return running
        if wait:
            self._throttle.refuse(attempt.network, attempt.user)
            raise _too_many(wait)
        try:
            verdict = self._pool.submit(check, attempt.network)
        except PoolFull:
            raise _too_many(BUSY_SECONDS) from None
        self._throttle.charge(attempt.network, attempt.user)
        call = asyncio.create_task(self._settle(attempt, check, verdict))
        self._calls[attempt.tag] = attempt.network, call
        call.add_done_callback(lambda _: self._calls.pop(attempt.tag, None))
        return call

    async def _settle(self, attempt: _Attempt, check: PasswordCheck, verdict: "asyncio.Future[bool]") -> bool:
        try:
            right = await verdict
        except PoolFull:
            self._throttle.refund(attempt.network, attempt.user)
            raise _too_many(BUSY_SECONDS) from None
        if right and self._is_current(attempt.user, check):
            self._throttle.refund(attempt.network, attempt.user)
            self._right.put(attempt.tag, True)
            self._by_network.put(attempt.network_tag, True)
            return True
        self._wrong.put(attempt.tag, True)
        # An unknown name may be a password in the wrong field.
        known = attempt.user in self._users().hashes
        log.warning("login failed", user=attempt.user if known else None, address=attempt.network)
        return False

    def _is_current(self, user: str, check: PasswordCheck) -> bool:
        return self._users().hashes.get(user) == check.stored


def parse_basic(authorization: Sequence[str]) -> tuple[str, bytes] | None:
    """Return user and password of the Authorization headers; None unless it is one well-formed Basic header."""
    if len(authorization) != 1:
        return None
    scheme, _, encoded = authorization[0].partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_ENCODED_BYTES:
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _bytes(user: str) -> bytes:
    return user.encode(errors="replace")  # half a surrogate pair matches no user


def _cost(stored: bytes) -> int:
    return int(stored[4:6])


def _too_many(wait: float) -> TooManyRequests:
    return TooManyRequests(
        "too many wrong passwords, or too many at once", headers={"Retry-After": whole_seconds(wait)}
    )
