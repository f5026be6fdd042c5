"""Lists in pages: tags (end-8) and the catalog."""

import re
from typing import Any

from tests.builders import image, index
from tests.conftest import StartRegistry
from tests.push import Client, push_image, put_manifest
from tests.raw import ask

_INDEX = index()
_TAGS = ["0.9", "1.10", "1.9", "A", "Z", "_x", "a", "latest", "z"]
"""In byte order: digits, capitals, underscore, small letters."""
_NAMES = ["a", "a/b", "a/b/c", "a-b", "a.b", "a_b", "b", "team/app", "team/app2", "z"]
"""In the order of a walk: `/` before every other separator."""


async def _push(client: Client, name: str = "app", *tags: str) -> None:
    """Push with all tags in one request."""
    query = "&".join(f"tag={tag}" for tag in tags or ("latest",))
    assert (await put_manifest(client, name, _INDEX, f"{_INDEX.digest}?{query}")).status == 201


def _next(answer: Any) -> str | None:
    """The URL in a Link header."""
    link = answer.headers.get("Link")
    if link is None:
        return None
    match = re.fullmatch(r'<(/v2/[^<>"\s]+)>; rel="next"', link)
    assert match is not None, link
    return match[1]


async def _pages(client: Client, path: str | None, field: str) -> list[list[str]]:
    pages = []
    while path is not None:
        answer = await ask(client, "GET", path)
        assert answer.status == 200
        pages.append(answer.json()[field])
        path = _next(answer)
        assert len(pages) < 100
    return pages


async def test_tags_come_in_byte_order_whatever_the_order_of_pushing(client: Client) -> None:
    for tag in reversed(_TAGS):
        await _push(client, "app", tag)
    answer = await ask(client, "GET", "/v2/app/tags/list")
    assert answer.json() == {"name": "app", "tags": _TAGS}
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers


async def test_the_pages_of_tags_together_are_the_list(client: Client) -> None:
    await _push(client, "app", *_TAGS)
    for n in range(1, len(_TAGS) + 2):
        pages = await _pages(client, f"/v2/app/tags/list?n={n}", "tags")
        assert [tag for page in pages for tag in page] == _TAGS, n
        assert all(len(page) == n for page in pages[:-1]), n
        assert pages[-1] != [], n


async def test_an_n_of_at_least_all_gives_all_and_no_link(client: Client) -> None:
    await _push(client, "app", *_TAGS)
    for n in (9, 10, 1_000, 10**6, 10**18):
        answer = await ask(client, "GET", f"/v2/app/tags/list?n={n}")
        assert (answer.json()["tags"], _next(answer)) == (_TAGS, None), n


async def test_n_0_gives_an_empty_list_and_no_link(client: Client) -> None:
    await _push(client, "app", *_TAGS)
    for path, field in [("/v2/app/tags/list", "tags"), ("/v2/_catalog", "repositories")]:
        for query in ["n=0", "n=0&last=a", "n=000"]:
            answer = await ask(client, "GET", f"{path}?{query}")
            assert (answer.status, answer.json()[field], _next(answer)) == (200, [], None)


async def test_last_gives_what_is_behind_it_whether_or_not_it_exists(client: Client) -> None:
    await _push(client, "app", *_TAGS)
    for last, begin in [("", 0), ("0", 0), ("1.9", 3), ("1.95", 3), ("latest", 8), ("zz", 9)]:
        answer = await ask(client, "GET", f"/v2/app/tags/list?last={last}")
        assert answer.json()["tags"] == _TAGS[begin:], last
        answer = await ask(client, "GET", f"/v2/app/tags/list?last={last}&n=2")
        assert answer.json()["tags"] == _TAGS[begin : begin + 2], last


async def test_the_largest_page_of_tags_is_for_the_config_to_say(start_registry: StartRegistry) -> None:
    client = await start_registry(tags={"maxtags": 4})
    await _push(client, "app", *_TAGS)
    pages = await _pages(client, "/v2/app/tags/list?n=1000", "tags")
    assert [len(page) for page in pages] == [4, 4, 1]
    assert (await ask(client, "GET", "/v2/app/tags/list")).json()["tags"] == _TAGS


async def test_the_tags_of_an_unknown_repository_are_a_404(client: Client) -> None:
    await _push(client, "team/app")
    for name in ["none", "team", "team/app/none", "tea"]:
        entry = (await ask(client, "GET", f"/v2/{name}/tags/list")).assert_error(404, "NAME_UNKNOWN")
        assert entry["detail"] == {"name": name}


async def test_a_repository_without_tags_has_an_empty_list_and_not_null(client: Client) -> None:
    await push_image(client, "app", image())
    assert (await ask(client, "GET", "/v2/app/tags/list")).body == b'{"name":"app","tags":[]}\n'


async def test_a_page_that_begins_at_a_deleted_tag_goes_on_behind_it(client: Client) -> None:
    await _push(client, "app", *_TAGS)
    link = _next(await ask(client, "GET", "/v2/app/tags/list?n=3"))
    assert link is not None
    assert (await ask(client, "DELETE", "/v2/app/manifests/1.9")).status == 202
    assert (await ask(client, "GET", link)).json()["tags"] == _TAGS[3:6]


async def test_an_empty_registry_has_an_empty_catalog_and_not_null(client: Client) -> None:
    assert (await ask(client, "GET", "/v2/_catalog")).body == b'{"repositories":[]}\n'


async def test_the_pages_of_the_catalog_together_are_the_list(client: Client) -> None:
    for name in reversed(_NAMES):
        await _push(client, name)
    answer = await ask(client, "GET", "/v2/_catalog")
    assert (answer.json(), _next(answer)) == ({"repositories": _NAMES}, None)
    for n in range(1, len(_NAMES) + 2):
        pages = await _pages(client, f"/v2/_catalog?n={n}", "repositories")
        assert [name for page in pages for name in page] == _NAMES, n
        assert all(len(page) == n for page in pages[:-1]), n


async def test_last_of_the_catalog_need_not_exist(client: Client) -> None:
    for name in _NAMES:
        await _push(client, name)
    for last, begin in [("", 0), ("a", 1), ("a/b", 2), ("a/bb", 3), ("team", 7), ("zz", 10)]:
        answer = await ask(client, "GET", f"/v2/_catalog?last={last}")
        assert answer.json()["repositories"] == _NAMES[begin:], last


async def test_the_largest_page_of_the_catalog_is_for_the_config_to_say(start_registry: StartRegistry) -> None:
    client = await start_registry(catalog={"maxentries": 4})
    for name in _NAMES:
        await _push(client, name)
    for path in ["/v2/_catalog", "/v2/_catalog?n=1000"]:
        pages = await _pages(client, path, "repositories")
        assert [len(page) for page in pages] == [4, 4, 2]


async def test_links_have_the_path_of_the_host(start_registry: StartRegistry) -> None:
    client = await start_registry(http={"host": "https://registry.example.com/sub/"})
    for name in _NAMES[:2]:
        await _push(client, name, *_TAGS)
    links = [(await ask(client, "GET", f"/v2{path}?n=1")).headers["Link"] for path in ("/_catalog", "/a/tags/list")]
    assert links == ['</sub/v2/_catalog?last=a&n=1>; rel="next"', '</sub/v2/a/tags/list?last=0.9&n=1>; rel="next"']


async def test_a_link_is_what_the_cncf_registry_writes(client: Client) -> None:
    for name in _NAMES:
        await _push(client, name)
    answer = await ask(client, "GET", "/v2/_catalog?x=y&last=a&n=1", {"X-Forwarded-Proto": "https"})
    assert answer.headers["Link"] == '</v2/_catalog?last=a%2Fb&n=1>; rel="next"'


async def test_links_keep_the_prefix(start_registry: StartRegistry) -> None:
    client = await start_registry(http={"prefix": "/registry/", "host": "https://registry.example.com"})
    for tag in _TAGS:
        path = f"/registry/v2/app/manifests/{tag}"
        assert (await ask(client, "PUT", path, body=_INDEX.content)).status == 201
    answer = await ask(client, "GET", "/registry/v2/app/tags/list?n=2")
    assert answer.headers["Link"] == '</registry/v2/app/tags/list?last=1.10&n=2>; rel="next"'
    assert (await ask(client, "GET", "/registry/v2/app/tags/list?n=2&last=1.10")).json()["tags"] == _TAGS[2:4]
