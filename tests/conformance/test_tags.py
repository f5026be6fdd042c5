"""Lists of tags: their order and their pages (end-8a, end-8b)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import index
from tests.conformance import leaves
from tests.conformance.paging import all_pages, joined, next_path
from tests.conftest import StartRegistry
from tests.push import Client, assert_error

_NAME = "conformance/repo1"
_INDEX = index()
_TAGS = ["0", "1.0", "1.0-rc", "10", "2", "A", "B-1", "Z", "_x", "a", "a-b", "a.b", "a0", "a_b", "latest", "z"]
"""In the order of their bytes."""

tags = st.sets(st.from_regex(r"\A[0-9A-Za-z_][0-9A-Za-z._-]{0,2}\Z"), min_size=1, max_size=12)


async def _push(client: Client, names: list[str], name: str = _NAME) -> None:
    await leaves.push_manifest(client, name, _INDEX, tags=names)


async def test_end_8a_tags_come_in_the_order_of_their_bytes(client: Client) -> None:
    await _push(client, _TAGS[::-1])
    assert await leaves.list_tags(client, _NAME) == _TAGS


async def test_end_8a_all_tags_come_in_one_answer_without_a_link(start_registry: StartRegistry) -> None:
    client = await start_registry(tags={"maxtags": 3})
    await _push(client, _TAGS)
    response = await client.get(f"/v2/{_NAME}/tags/list")
    assert (await response.json())["tags"] == _TAGS
    assert "Link" not in response.headers


async def test_end_8b_n_gives_exactly_n_tags_and_a_link_only_if_there_are_more(client: Client) -> None:
    await _push(client, _TAGS)
    for n in range(1, len(_TAGS) + 3):
        response = await client.get(f"/v2/{_NAME}/tags/list?n={n}")
        assert (await response.json())["tags"] == _TAGS[:n]
        assert (next_path(response) is not None) == (n < len(_TAGS))


async def test_end_8b_n_zero_gives_an_empty_list_and_no_link(client: Client) -> None:
    await _push(client, _TAGS)
    for query in ("n=0", "n=0&last=1.0", "n=00"):
        response = await client.get(f"/v2/{_NAME}/tags/list?{query}")
        assert response.status == 200
        assert await response.json() == {"name": _NAME, "tags": []}
        assert "Link" not in response.headers


async def test_end_8b_last_gives_what_comes_behind_it_with_and_without_n(client: Client) -> None:
    await _push(client, _TAGS)
    for position, last in enumerate(_TAGS):
        rest = _TAGS[position + 1 :]
        assert await leaves.list_tags(client, _NAME, last=last) == rest
        assert await leaves.list_tags(client, _NAME, last=last, n=2) == rest[:2]


@pytest.mark.parametrize(("last", "first"), [("a-a", "a-b"), ("00", "1.0"), ("zz", None), ("-", "0"), ("~", None)])
async def test_end_8b_last_need_not_be_a_tag_of_the_repository(client: Client, last: str, first: str | None) -> None:
    await _push(client, _TAGS)
    assert await leaves.list_tags(client, _NAME, last=last, n=1) == ([] if first is None else [first])


async def test_end_8b_a_tag_deleted_between_two_pages_leaves_none_out(client: Client) -> None:
    await _push(client, _TAGS)
    response = await client.get(f"/v2/{_NAME}/tags/list?n=3")
    await leaves.delete_manifest(client, _NAME, _TAGS[2])
    path = next_path(response)
    assert path is not None
    assert (await (await client.get(path)).json())["tags"] == _TAGS[3:6]


async def test_end_8b_n_above_the_limit_gives_pages_of_the_limit(start_registry: StartRegistry) -> None:
    client = await start_registry(tags={"maxtags": 3})
    await _push(client, _TAGS)
    pages = await all_pages(client, f"/v2/{_NAME}/tags/list?n=9999999999999999999", "tags")
    assert [len(page) for page in pages] == [3, 3, 3, 3, 3, 1]
    assert joined(pages) == _TAGS


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=tags)
async def test_end_8b_the_pages_of_every_n_are_the_whole_list(start_registry: StartRegistry, names: set[str]) -> None:
    client = await start_registry(storage={"inmemory": None, "delete": {"enabled": True}})
    await _push(client, sorted(names))
    everything = sorted(names)
    assert await leaves.list_tags(client, _NAME) == everything
    for n in range(1, len(names) + 2):
        pages = await all_pages(client, f"/v2/{_NAME}/tags/list?n={n}", "tags")
        assert joined(pages) == everything
        assert all(len(page) == n for page in pages[:-1])


@pytest.mark.parametrize("n", ["-1", "1.5", "ten", "0x1"])
async def test_end_8b_an_n_that_is_no_number_answers_400(client: Client, n: str) -> None:
    await _push(client, ["latest"])
    await assert_error(await client.get(f"/v2/{_NAME}/tags/list?n={n}"), 400, "PAGINATION_NUMBER_INVALID")
