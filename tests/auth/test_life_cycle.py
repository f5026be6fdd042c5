"""A kind of authenticator that the registry does not know is all that a new kind needs to be."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyregistry.auth.access import BaseAuthenticator, PasswordStore, Principal
from pyregistry.auth.policy import Policy
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.oci.errors import Unauthorized
from tests.api.observing import registry_with
from tests.auth.credentials import basic
from tests.auth.rules import ACCESS, CI, bearer, token_for
from tests.builders import image
from tests.push import push_image
from tests.raw import ask, connected

PULL = ("GET", "/v2/ci/app/manifests/v1")


class Machines(BaseAuthenticator):
    """Lets in who sends the right word, and notes its life cycle."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []
        """Each with whether it came on the event loop's thread."""

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        if authorization != ["Machine 7"]:
            raise Unauthorized
        return Principal("machine")

    def start(self) -> None:
        self.calls.append(("start", threading.current_thread() is threading.main_thread()))

    def close(self) -> None:
        self.calls.append(("close", threading.current_thread() is threading.main_thread()))


class Passwords(Machines):
    """The same with passwords, for which tokens can be made."""

    realm = "Machines"
    waiting = 0

    @property
    def passwords(self) -> PasswordStore:
        return self

    @property
    def refused(self) -> Mapping[str, int]:
        return Counter()

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        if (user, password) != ("ci", b"machine-9962"):
            raise Unauthorized
        return Principal(user)

    def stamp(self, user: str) -> str | None:
        return "1" if user == "ci" else None


async def fill(directory: Path) -> None:
    async with registry_with(directory) as client:
        await push_image(client, "ci/app", image(b"layer"), "v1")


async def test_an_authenticator_is_started_in_a_thread_and_closed_at_the_end(tmp_path: Path) -> None:
    machines = Machines()
    async with registry_with(tmp_path, authenticator=machines):
        assert machines.calls == [("start", False)]
    assert machines.calls == [("start", False), ("close", True)]


async def test_a_kind_without_a_quick_way_is_asked_at_each_request(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with registry_with(tmp_path, authenticator=Machines()) as client, connected(client) as connection:
        for word, status in (("Machine 7", 200), ("Machine 8", 401), ("Machine 7", 200)):
            assert (await connection.request(*PULL, {"Authorization": word})).status == status
        refused = await connection.request(*PULL)
        refused.assert_error(401, "UNAUTHORIZED")
        assert "WWW-Authenticate" not in refused.headers


async def test_tokens_are_made_for_the_passwords_of_any_kind(tmp_path: Path) -> None:
    await fill(tmp_path)
    passwords = Passwords()
    policy = CurrentPolicy(Policy.parse(ACCESS, {}))
    async with registry_with(tmp_path, authenticator=passwords, policy=policy) as client:
        token = await token_for(client, CI, ["repository:ci/app:pull"])
        assert (await ask(client, *PULL, bearer(token))).status == 200
        assert (await ask(client, *PULL)).status == 401
        refused = await ask(client, "GET", "/auth/token", basic("ci", "wrong"))
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="Machines"'
        assert passwords.calls == [("start", False)]
    assert passwords.calls[1:] == [("close", True)]
