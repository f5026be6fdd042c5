"""The current policy: constant, or reloaded from its file."""

from pathlib import Path

from pyregistry.auth.access import Access, Authorizer, LifeCycle, Principal
from pyregistry.auth.access_file import access_file
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.common.overriding import override
from pyregistry.common.reloaded_files import FileUnusable, GivenUp


class CurrentPolicy(Authorizer, LifeCycle):
    """An Authorizer whose rules may change at run time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def policy(self) -> Policy:
        """The current rules."""
        return self._policy

    @override
    def allows(self, principal: Principal, access: Access) -> bool:
        return self.policy.allows(principal, access)

    @override
    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        return self.policy.pulls_below(principal, namespace)

    @override
    def pulls_all(self, principal: Principal) -> bool:
        return self.policy.pulls_all(principal)

    def lets_anonymous_in(self) -> bool:
        """Return True if a rule allows anything to anonymous callers."""
        return self.policy.lets_anonymous_in

    @override
    def start(self) -> None:
        pass

    @override
    def close(self) -> None:
        pass


class PolicyFile(CurrentPolicy):
    """Rules of a file. Without usable rules everything is denied, as a rule may have been removed."""

    def __init__(self, path: Path) -> None:
        """Load the file. Blocks. Raises PolicyInvalid."""
        given_up = GivenUp(Policy(()), "everything is denied")

        def describe(policy: Policy) -> dict[str, object]:
            return {"file": str(path), "rules": len(policy.rules)}

        try:
            self._file = access_file(path, "access rules", _parse, describe, given_up)
        except FileUnusable as error:
            raise PolicyInvalid(str(error)) from error
        super().__init__(self._file.value)

    @property
    @override
    def policy(self) -> Policy:
        return self._file.value

    @override
    def start(self) -> None:
        self._file.start()

    @override
    def close(self) -> None:
        self._file.close()


def _parse(content: bytes) -> Policy:
    try:
        return Policy.parse_file(content)
    except PolicyInvalid as error:
        raise FileUnusable(str(error)) from error
