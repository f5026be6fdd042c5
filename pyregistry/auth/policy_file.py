"""The policy in force: given once, or read again from its file when that changes."""

from pathlib import Path

import structlog

from pyregistry.auth.access import Access, Principal
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.auth.watched import FileUnusable, Purpose, WatchedFile

log = structlog.get_logger("pyregistry.auth")


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

    def start(self) -> None:
        """Keep up with the file, where there is one, until `close`. Blocks, for a first look."""

    def close(self) -> None:
        """Look no more."""


class PolicyFile(CurrentPolicy):
    """Rules of a file; see WatchedFile. Without usable rules everything is denied, as a rule may have been removed."""

    def __init__(self, path: Path) -> None:
        """Blocks. Raises PolicyInvalid."""
        super().__init__(Policy(()))
        self._path = path
        self._was_read = False
        try:
            self._file = WatchedFile(path, Purpose("access rules", "everything is denied", self._take, self._give_up))
        except FileUnusable as error:
            raise PolicyInvalid(str(error)) from error

    def start(self) -> None:
        """See CurrentPolicy.start."""
        self._file.start()

    def close(self) -> None:
        """See CurrentPolicy.close."""
        self._file.close()

    def _take(self, content: bytes) -> None:
        try:
            self.policy = Policy.parse_file(content)
        except PolicyInvalid as error:
            raise FileUnusable(str(error)) from error
        if self._was_read:
            log.info("access rules read again", file=str(self._path), rules=len(self.policy.rules))
        self._was_read = True

    def _give_up(self) -> None:
        self.policy = Policy(())
