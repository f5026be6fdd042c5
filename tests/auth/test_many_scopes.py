"""Tokens for as many repositories as a request can name: clients collect scopes over a build or a mirror's run."""

import random
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import pytest

from pyregistry.auth.access import Access, Action, Principal
from pyregistry.auth.scopes import TokenScope, parse_scopes
from pyregistry.auth.verified import TokenContent, VerifiedTokens
from pyregistry.oci.names import RepositoryName
from tests.api.test_fast_path import age
from tests.auth.rules import CI, PASSWORDS, bearer, start_with_rules
from tests.auth.signed import Keys, claims, section
from tests.builders import digest_of, image
from tests.conftest import PREPARED, StartRegistry
from tests.modes import fast_path_only
from tests.push import Client
from tests.raw import RawAnswer, ask, length

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_LINE = 64 * 1024


@pytest.fixture
async def ruled(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """A registry with the rules of docs/users-and-access.md."""
    return await start_with_rules(start_registry, tmp_path)


def _names(size: int, letters: int) -> list[str]:
    """Return as many names as a query of this size has room for, of random letters, which are hard to compress."""
    chosen = random.Random(7)
    count = size // (len("scope=repository:ci/:pull&") + letters)
    alphabet = string.ascii_lowercase + string.digits
    return ["ci/" + "".join(chosen.choices(alphabet, k=letters)) for _ in range(count)]


async def _get(client: Client, names: list[str], actions: str = "pull") -> RawAnswer:
    query = "&".join(f"scope=repository:{name}:{actions}" for name in names)
    return await ask(client, "GET", f"/auth/token?{query}", CI)


async def _post(client: Client, names: list[str]) -> RawAnswer:
    scope = " ".join(f"repository:{name}:pull" for name in names)
    fields = {"grant_type": "password", "username": "ci", "password": PASSWORDS["ci"], "scope": scope}
    body = urlencode(fields, safe=":/", quote_via=quote).replace("%20", "+").encode()
    return await ask(client, "POST", "/auth/token", {**_FORM, **length(body)}, body)


@pytest.mark.parametrize("letters", [2, 8, 40, 250])
async def test_a_token_holds_every_scope_of_the_longest_query(ruled: Client, letters: int) -> None:
    names = _names(_LINE - 100, letters)
    answer = await _get(ruled, names)
    assert answer.status == 200
    token = answer.json()["token"]
    assert len(token) <= 64_000
    assert answer.json()["scope"].split(" ") == [f"repository:{name}:pull" for name in dict.fromkeys(names)]
    for name in [names[0], names[len(names) // 2], names[-1]]:
        (await ask(ruled, "GET", f"/v2/{name}/tags/list", bearer(token))).assert_error(404, "NAME_UNKNOWN")
    other = await ask(ruled, "GET", "/v2/ci/none-of-them/tags/list", bearer(token))
    other.assert_error(401, "UNAUTHORIZED")


async def test_a_form_is_answered_as_a_query_is(ruled: Client) -> None:
    names = _names(_LINE, 20)
    answer = await _post(ruled, names)
    assert (answer.status, answer.json()["scope"].count("repository:")) == (200, len(names))
    token = bearer(answer.json()["token"])
    (await ask(ruled, "GET", f"/v2/{names[-1]}/tags/list", token)).assert_error(404, "NAME_UNKNOWN")


async def test_scopes_that_no_header_has_room_for_are_refused_with_a_sentence(ruled: Client) -> None:
    error = (await _post(ruled, _names(98_000, 250))).assert_error(400, "UNSUPPORTED")
    assert "ask for fewer" in error["detail"]


async def test_what_may_not_be_done_takes_no_room(ruled: Client) -> None:
    answer = await _get(ruled, [*(f"private/{number}" for number in range(1_000)), "ci/app"], "pull,push")
    assert answer.json()["scope"] == "repository:ci/app:pull,push"
    assert len(answer.json()["token"]) < 1_000


async def test_a_small_token_is_one_that_every_reader_understands(ruled: Client) -> None:
    token = (await _get(ruled, [f"ci/{number}" for number in range(25)])).json()["token"]
    assert "zip" not in jwt.get_unverified_header(token)
    assert len(jwt.decode(token, options={"verify_signature": False})["access"]) == 25


@fast_path_only("cached responses that a head has prepared")
async def test_a_large_token_gets_cached_responses_too(ruled: Client, tmp_path: Path) -> None:
    names, content = _names(_LINE - 20_000, 8), image()
    token = bearer((await _get(ruled, names, "pull,push")).json()["token"])
    for blob in content.blobs:
        path = f"/v2/{names[0]}/blobs/uploads/?digest={digest_of(blob)}"
        assert (await ask(ruled, "POST", path, token, blob)).status == 201
    path = f"/v2/{names[0]}/manifests/x"
    typed = {**token, "Content-Type": content.media_type}
    assert (await ask(ruled, "PUT", path, typed, content.content)).status == 201
    age(tmp_path / "data")
    assert (await ask(ruled, "GET", path, token)).body == content.content
    ruled.app[PREPARED].clear()
    assert (await ask(ruled, "GET", path, token)).body == content.content
    assert ruled.app[PREPARED] == []


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
async def test_a_large_token_that_was_changed_is_refused(ruled: Client, place: int) -> None:
    pieces = (await _get(ruled, _names(30_000, 8))).json()["token"].split(".")
    pieces[place] = pieces[place][:5] + ("A" if pieces[place][5] != "A" else "B") + pieces[place][6:]
    (await ask(ruled, "GET", "/v2/", bearer(".".join(pieces)))).assert_error(401, "UNAUTHORIZED")


async def test_a_large_token_of_another_server_is_taken(start_registry: StartRegistry, tmp_path: Path) -> None:
    keys = Keys()
    client = await start_registry(auth=section(tmp_path, keys))
    access: list[dict[str, Any]] = []
    token, room = "", _LINE - 600
    while len(token) < room:
        more = max((room - len(token)) // 250, 1)
        access += [
            {"type": "repository", "name": f"team/{len(access) + number:0100}", "actions": ["pull"]}
            for number in range(more)
        ]
        token = jwt.encode(claims(access=access), keys.p384, "ES384", {"kid": "p384"})
    assert room <= len(token) < _LINE - 30
    for item in [access[0], access[-1]]:
        answer = await ask(client, "GET", f"/v2/{item['name']}/tags/list", bearer(token))
        answer.assert_error(404, "NAME_UNKNOWN")
    (await ask(client, "GET", "/v2/team/none/tags/list", bearer(token))).assert_error(401, "UNAUTHORIZED")


def _shown(repositories: int, name: str) -> TokenContent:
    actions: dict[str | None, frozenset[Action]] = {
        f"{name}/{number}": frozenset({Action.PULL}) for number in range(repositories)
    }
    return TokenContent(Principal(name, TokenScope(actions)), "")


def test_the_tokens_that_are_remembered_hold_a_bounded_number_of_repositories() -> None:
    verified = VerifiedTokens()
    for number in range(40):
        verified.put(f"token {number}", _shown(4_000, f"r{number}"), 2**40)
    assert [number for number in range(40) if verified.get(f"token {number}")] == list(range(28, 40))


def test_a_token_that_is_remembered_twice_counts_once() -> None:
    verified = VerifiedTokens()
    for _ in range(100):
        verified.put("token", _shown(4_000, "r"), 2**40)
    for number in range(11):
        verified.put(f"token {number}", _shown(4_000, "s"), 2**40)
    assert verified.get("token") is not None


def test_a_scope_covers_what_it_names_and_nothing_else() -> None:
    accesses = parse_scopes(["repository:a/b:pull,push registry:catalog:*"])
    assert len(accesses) == 3
    scope = TokenScope({"a/b": frozenset({Action.PULL, Action.PUSH}), None: frozenset({Action.CATALOG})})
    assert all(scope.covers(access) for access in accesses)
    assert not scope.covers(Access(Action.DELETE, RepositoryName("a/b")))
    assert not scope.covers(Access(Action.PULL, RepositoryName("a/c")))
