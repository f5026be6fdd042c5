"""The policy in force: given once, or read again from its file when that changes."""

import asyncio
from pathlib import Path

import structlog

from pyregistry.auth.access import Access, Principal
from pyregistry.auth.policy import Policy, PolicyInvalid

POLL_SECONDS = 0.5
_MOST_BYTES = 1024 * 1024

log = structlog.get_logger("pyregistry.auth")

_Signature = tuple[int, ...]


class CurrentPolicy:
    """An Authorizer whose rules may change while it serves."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def allows(self, principal: Principal, access: Access) -> bool:
        """See Authorizer.allows."""
        return self.policy.allows(principal, access)

    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        """See Authorizer.pulls_below."""
        return self.policy.pulls_below(principal, namespace)

    def pulls_all(self, principal: Principal) -> bool:
        """See Authorizer.pulls_all."""
        return self.policy.pulls_all(principal)

    def lets_anonymous_in(self) -> bool:
        """See Policy.lets_anonymous_in."""
        return self.policy.lets_anonymous_in

    def refresh(self) -> None:
        """Look at the file, where there is one, once. Blocks."""

    async def watch(self) -> None:
        """Keep up with the file, where there is one, until cancelled."""


class PolicyFile(CurrentPolicy):
    """A file that is looked at twice a second; one that is of no use leaves the last good rules in force."""

    def __init__(self, path: Path) -> None:
        """Raises PolicyInvalid. Blocks."""
        self._path = path
        try:
            self._read = self._seen = self._stat()  # first, so that a change in between is seen
            super().__init__(self._load())
        except OSError as error:
            raise PolicyInvalid(f"{error.strerror}") from error

    def refresh(self) -> None:
        """See CurrentPolicy.refresh."""
        self._look()
        self._look()

    async def watch(self) -> None:
        """See CurrentPolicy.watch."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await asyncio.get_running_loop().run_in_executor(None, self._look)

    def _look(self) -> None:
        try:
            signature = self._stat()
        except OSError as error:
            signature, reason = None, error.strerror
        else:
            reason = None
        if signature != self._seen:  # an editor may be writing it: taken when it has not changed for a moment
            self._seen = signature
        elif signature != self._read:
            self._read = signature  # also of one that is no use: said once, and looked at when it changes
            self._reload(reason)

    def _reload(self, reason: str | None) -> None:
        try:
            if reason is not None:
                raise PolicyInvalid(reason)
            self.policy = self._load()
            log.info("access rules read again", file=str(self._path), rules=len(self.policy.rules))
        except (PolicyInvalid, OSError) as error:
            log.error(
                "access rules not usable, the last good ones stay in force", file=str(self._path), reason=str(error)
            )

    def _stat(self) -> _Signature | None:
        stat = self._path.stat()
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns  # the last: of a chmod

    def _load(self) -> Policy:
        with self._path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise PolicyInvalid("larger than a MiB")
        return Policy.parse_file(content)
