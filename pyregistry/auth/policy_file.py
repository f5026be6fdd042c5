"""The policy in force: given once, or read again from its file when that changes."""

from pathlib import Path

from pyregistry.auth.access import Access, Principal
from pyregistry.auth.access_file import access_file
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.common.reloaded_files import FileUnusable, GivenUp


class CurrentPolicy:
    """An Authorizer whose rules may change while it serves."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._policy

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
    """Rules of a file. Without usable rules everything is denied, as a rule may have been removed."""

    def __init__(self, path: Path) -> None:
        """Blocks. Raises PolicyInvalid."""
        given_up = GivenUp(Policy(()), "everything is denied")

        def describe(policy: Policy) -> dict[str, object]:
            return {"file": str(path), "rules": len(policy.rules)}

        try:
            self._file = access_file(path, "access rules", _parse, describe, given_up)
        except FileUnusable as error:
            raise PolicyInvalid(str(error)) from error
        super().__init__(self._file.value)

    @property
    def policy(self) -> Policy:
        """See CurrentPolicy.policy."""
        return self._file.value

    def start(self) -> None:
        """See CurrentPolicy.start."""
        self._file.start()

    def close(self) -> None:
        """See CurrentPolicy.close."""
        self._file.close()


def _parse(content: bytes) -> Policy:
    try:
        return Policy.parse_file(content)
    except PolicyInvalid as error:
        raise FileUnusable(str(error)) from error
