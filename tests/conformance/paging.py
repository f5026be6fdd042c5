"""Following the `Link` of a list from page to page (RFC 8288)."""

import itertools
import re
from collections.abc import Iterable
from typing import Any

from aiohttp import ClientResponse

from tests.push import Client

_LINK = re.compile(r'<(/v2/[^>]*)>; rel="next"')


def next_path(response: ClientResponse) -> str | None:
    """Return the address of the next page; there is at most one Link, and it says nothing else."""
    links = response.headers.getall("Link", [])
    if not links:
        return None
    (link,) = links
    match = _LINK.fullmatch(link)
    assert match is not None, link
    return match[1]


async def all_pages(client: Client, path: str, member: str) -> list[list[Any]]:
    """The list `member` of every answer, from `path` until no Link follows; no page before the last is empty."""
    pages: list[list[Any]] = []
    following: str | None = path
    while following is not None:
        response = await client.get(following)
        assert response.status == 200, await response.text()
        pages.append((await response.json(content_type=None))[member])
        following = next_path(response)
        assert pages[-1] or following is None
        assert len(pages) < 100
    return pages


def joined(pages: Iterable[list[Any]]) -> list[Any]:
    """The pages as one list."""
    return list(itertools.chain.from_iterable(pages))
