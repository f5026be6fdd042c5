"""Docker's catalog, which the spec does not have: its order and its pages."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.builders import index
from tests.conformance.paging import all_pages, joined, next_path
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, put_manifest, start_upload

_INDEX = index()
_NAMES = ["0", "a", "a/0x", "a/b", "a/b/c", "a/b-c", "a-b", "a-b/a", "a.b", "a0", "a_b", "ab", "b/a/a"]
"""In the order of their components: `a/…` before `a-b`, though `-` is the lower character."""

component = st.from_regex(r"\A[ab0](?:[._-]?[abx])?\Z")
names_of_repositories = st.sets(st.lists(component, min_size=1, max_size=3).map("/".join), min_size=1, max_size=9)


async def _push(client: Client, names: list[str]) -> None:
    for name in names:
        assert (await put_manifest(client, name, _INDEX)).status == 201


async def _catalog(client: Client, query: str = "") -> list[str]:
    response = await client.get(f"/v2/_catalog{query}")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    document = await response.json()
    assert set(document) == {"repositories"}
    repositories: list[str] = document["repositories"]
    return repositories


async def test_the_catalog_of_a_new_registry_is_an_empty_list(client: Client) -> None:
    assert await _catalog(client) == []


async def test_the_catalog_is_in_the_order_of_the_names_components(client: Client) -> None:
    await _push(client, _NAMES[::-1])
    assert await _catalog(client) == _NAMES


async def test_catalog_n_gives_n_names_and_a_link_only_if_there_are_more(client: Client) -> None:
    await _push(client, _NAMES)
    for n in range(1, len(_NAMES) + 2):
        response = await client.get(f"/v2/_catalog?n={n}")
        assert (await response.json())["repositories"] == _NAMES[:n]
        assert (next_path(response) is not None) == (n < len(_NAMES))


async def test_catalog_n_zero_gives_an_empty_list_and_no_link(client: Client) -> None:
    await _push(client, ["a", "b"])
    response = await client.get("/v2/_catalog?n=0")
    assert await response.json() == {"repositories": []}
    assert "Link" not in response.headers


async def test_catalog_last_gives_what_comes_behind_it_whether_or_not_it_exists(client: Client) -> None:
    await _push(client, _NAMES)
    for position, last in enumerate(_NAMES):
        assert await _catalog(client, f"?last={last}") == _NAMES[position + 1 :]
        assert await _catalog(client, f"?last={last}&n=1") == _NAMES[position + 1 :][:1]
    assert await _catalog(client, "?last=a/b/d&n=1") == ["a/b-c"]
    assert await _catalog(client, "?last=zzz") == []


async def test_the_catalog_gives_at_most_what_the_config_allows(start_registry: StartRegistry) -> None:
    client = await start_registry(catalog={"maxentries": 4})
    await _push(client, _NAMES)
    for query in ("", "?n=1000"):
        pages = await all_pages(client, f"/v2/_catalog{query}", "repositories")
        assert [len(page) for page in pages] == [4, 4, 4, 1]
        assert joined(pages) == _NAMES


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=names_of_repositories)
@example(names={"a", "a/b", "a-b", "a/0x"})
async def test_the_pages_of_the_catalog_are_the_whole_of_it_for_every_n(
    start_registry: StartRegistry, names: set[str]
) -> None:
    client = await start_registry(storage={"inmemory": None})
    await _push(client, sorted(names))
    everything = sorted(names, key=lambda name: name.split("/"))
    assert await _catalog(client) == everything
    for n in range(1, len(names) + 2):
        pages = await all_pages(client, f"/v2/_catalog?n={n}", "repositories")
        assert joined(pages) == everything
        assert all(len(page) == n for page in pages[:-1])


async def test_a_repository_is_in_the_catalog_while_it_holds_a_manifest(client: Client) -> None:
    await start_upload(client, "only/an/upload")
    assert await _catalog(client) == []
    await _push(client, ["a/b"])
    assert await _catalog(client) == ["a/b"]
    assert (await client.delete(f"/v2/a/b/manifests/{_INDEX.digest}")).status == 202
    assert await _catalog(client) == []


@pytest.mark.parametrize(
    ("query", "code"), [("n=x", "PAGINATION_NUMBER_INVALID"), ("n=-1", "PAGINATION_NUMBER_INVALID")]
)
async def test_a_page_of_the_catalog_that_makes_no_sense_answers_400(client: Client, query: str, code: str) -> None:
    await assert_error(await client.get(f"/v2/_catalog?{query}"), 400, code)
