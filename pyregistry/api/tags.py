"""Tags: the list of them."""

from aiohttp import web

from pyregistry.api.context import offload, repository, settings, single
from pyregistry.api.paging import next_link, page_size, take
from pyregistry.api.responses import json_response
from pyregistry.oci.errors import RequestInvalid
from pyregistry.storage.repository import Repository


async def list_tags(request: web.Request) -> web.Response:
    """end-8a and 8b `GET /v2/<name>/tags/list`, in byte order; all of them where `n` is not given."""
    repo = repository(request)
    size = page_size(request, settings(request).max_tags, default=None)
    last = single(request, "last", RequestInvalid)
    page, more = await offload(_page, repo, last, size)
    headers = next_link(request, n=len(page), last=page[-1]) if more else None
    return json_response({"name": repo.name, "tags": page}, headers)


def _page(repo: Repository, last: str | None, size: int | None) -> tuple[list[str], bool]:
    repo.require()
    return take(repo.tags(after=last), size)
