"""Is this the password of that user: asked at every request, answered by bcrypt only once per credential.

A verified pair is remembered as a keyed hash that includes the stored hash, so that a changed password misses at
once and a removed user never gets as far. In front of that is the memory of the last second, by header and address,
which saves reading the header and counting.
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
from pyregistry.auth.remembered import KeyedHash
from pyregistry.auth.throttle import Throttle, network_of, whole_seconds
from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.errors import TooManyRequests, Unauthorized

RIGHT_SECONDS = 300.0
"""Since it was used last: no longer than it is of use should memory hold what can be tried without bcrypt."""
WRONG_SECONDS = 10.0
ANSWER_SECONDS = 1.0
"""How long the same header from the same address is let in without being read again.

Not prolonged by use: what depends on the use of a credential hears of it once in that time.
"""
REMEMBERED = 1_000
REMEMBERED_PLACES = 10_000
MAX_USER_BYTES = 255
MAX_PASSWORD_BYTES = 1024
MAX_ENCODED = 2048
BUSY_SECONDS = 2.0
DELAY_SECONDS = 1.0
"""Seconds that the refusals wait of an address that gets many of them; it asks less often meanwhile."""
DELAYING: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("delaying", default=nullcontext)
"""Of a request: the context in which its refusal waits, so that its connection may be closed for another one."""
LEAST_COST = 4
"""The lowest that bcrypt has."""

log = structlog.get_logger("pyregistry.auth")


class Refusal(StrEnum):
    """Reasons for which a login is refused, as the metrics name them."""

    WRONG = "wrong"
    """An unknown user or a wrong password."""
    THROTTLED = "throttled"
    """Too many wrong ones before it, or too many at once: answered 429."""
    TOKEN = "token"  # noqa: S105 - a word, no secret
    """A token that expired, or is none of ours: clients get another one then."""


@dataclass(frozen=True)
class Users:
    """A password file at one moment: users with their bcrypt hashes. Without any, a login costs what the least does."""

    hashes: Mapping[str, bytes]
    _dummies: Mapping[int, bytes] = field(init=False, repr=False)
    _highest: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        costs = [_cost(stored) for stored in self.hashes.values()] or [LEAST_COST]
        object.__setattr__(self, "_highest", max(costs))
        object.__setattr__(self, "_dummies", {cost: dummy_hash(cost) for cost in range(min(costs), max(costs) + 1)})

    def check(self, user: str, password: bytes) -> PasswordCheck:
        """What to compute. A wrong password costs the same for every user, known or not.

        A hash of cost c takes 2^c rounds; with one of each cost from c to below the highest, h, that is 2^h.
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
    place: bytes
    """The tag, as it came from this network."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Who was let in, and by which content of the password file."""

    principal: Principal
    user: str
    network: str
    users: Users


class Credentials:
    """Checks users and passwords against what `users` returns at that moment. Made before the fork, used after it."""

    def __init__(self, users: Callable[[], Users], clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._hash = KeyedHash()
        self._right = BoundedCache[bytes, bool](limit=REMEMBERED, seconds=RIGHT_SECONDS, clock=clock)
        self._wrong = BoundedCache[bytes, bool](limit=REMEMBERED, seconds=WRONG_SECONDS, clock=clock)
        self._places = BoundedCache[bytes, bool](limit=REMEMBERED_PLACES, seconds=RIGHT_SECONDS, clock=clock)
        self._answers = BoundedCache[bytes, _Answer](limit=REMEMBERED, seconds=ANSWER_SECONDS, clock=clock)
        self._throttle = Throttle(clock)
        self._pool = BcryptPool()
        self._flights: dict[bytes, tuple[str, asyncio.Task[bool]]] = {}
        self.refused: dict[str, int] = {Refusal.WRONG: 0, Refusal.THROTTLED: 0}
        """Logins of this process that were refused, by the reason."""

    @property
    def waiting(self) -> int:
        """Passwords that wait to be checked."""
        return self._pool.waiting

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """The user of the request's Authorization headers; raises as `verify`, also for what is no Basic."""
        known = self.recognize(authorization, address)
        if known is not None:
            return known
        users = self._users()  # asked first: if they change before the end, nobody will ever find this answer
        credential = parse_basic(authorization)
        if credential is None:
            raise Unauthorized
        principal = await self.verify(*credential, address)
        answer = _Answer(principal, credential[0], network_of(address), users)
        self._answers.put(self._key(authorization[0], address), answer)
        return principal

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """Who was let in with this header from this address within the last second."""
        if len(authorization) != 1:
            return None
        answer = self._answers.get(self._key(authorization[0], address))
        if answer is None or answer.users is not self._users() or self._is_besieged(answer):
            return None
        return answer.principal

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        """The user, if that is the password. `address` is the client's, empty where it has none.

        Raises Unauthorized, which has no challenge and is the same for an unknown user, and TooManyRequests.
        """
        if not 0 < len(_bytes(user)) <= MAX_USER_BYTES or len(password) > MAX_PASSWORD_BYTES or b"\0" in password:
            raise Unauthorized
        users = self._users()
        check = users.check(user, password)
        attempt = self._attempt(user, check, network_of(address))
        if not self._is_remembered(attempt):
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

    def _is_remembered(self, attempt: _Attempt) -> bool:
        """A credential that was right a while ago is right, but not for an address that is stopped for guessing.

        There it must have been used before; or whoever guesses would learn from the one attempt that is not refused.
        """
        if attempt.tag not in self._right:
            return False
        if attempt.place in self._places:
            if self._is_besieged(attempt):
                return False
        elif self._throttle.wait(attempt.network, attempt.user):
            return False
        self._right.put(attempt.tag, True)
        self._places.put(attempt.place, True)
        return True

    def _is_besieged(self, by: _Attempt | _Answer) -> bool:
        return self._throttle.is_besieged(by.network, by.user)

    async def _check(self, attempt: _Attempt, check: PasswordCheck) -> None:
        if attempt.tag in self._wrong:
            raise Unauthorized
        # A file that was read meanwhile may not know the user any more.
        if not await asyncio.shield(self._flight(attempt, check)) or not self._is_current(attempt.user, check):
            raise Unauthorized

    def _flight(self, attempt: _Attempt, check: PasswordCheck) -> "asyncio.Task[bool]":
        """The one check of this credential: clients open several connections at once."""
        network, running = self._flights.get(attempt.tag, ("", None))
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
        flight = asyncio.create_task(self._settle(attempt, check, verdict))
        self._flights[attempt.tag] = attempt.network, flight
        flight.add_done_callback(lambda _: self._flights.pop(attempt.tag, None))
        return flight

    async def _settle(self, attempt: _Attempt, check: PasswordCheck, verdict: "asyncio.Future[bool]") -> bool:
        try:
            right = await verdict
        except PoolFull:
            self._throttle.refund(attempt.network, attempt.user)
            raise _too_many(BUSY_SECONDS) from None
        if right and self._is_current(attempt.user, check):
            self._throttle.refund(attempt.network, attempt.user)
            self._right.put(attempt.tag, True)
            self._places.put(attempt.place, True)
            return True
        self._wrong.put(attempt.tag, True)
        # A name that is nobody's may be a password in the wrong place.
        known = attempt.user in self._users().hashes
        log.warning("login failed", user=attempt.user if known else None, address=attempt.network)
        return False

    def _is_current(self, user: str, check: PasswordCheck) -> bool:
        return self._users().hashes.get(user) == check.stored


def parse_basic(authorization: Sequence[str]) -> tuple[str, bytes] | None:
    """User and password of the request's Authorization headers; None if that is not one well-formed Basic."""
    if len(authorization) != 1:
        return None
    scheme, _, encoded = authorization[0].partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_ENCODED:
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _bytes(user: str) -> bytes:
    return user.encode(errors="replace")  # half a surrogate is no user's


def _cost(stored: bytes) -> int:
    return int(stored[4:6])


def _too_many(wait: float) -> TooManyRequests:
    return TooManyRequests(
        "too many wrong passwords, or too many at once", headers={"Retry-After": whole_seconds(wait)}
    )
