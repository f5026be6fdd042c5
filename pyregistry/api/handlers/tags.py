"""The list of tags."""

from aiohttp import web

from pyregistry.api.handlers.large import respond
from pyregistry.api.handlers.paging import collect_page, next_link, page_size
from pyregistry.api.http.context import parameter, repository, settings, walk
from pyregistry.api.http.responses import encode_list
from pyregistry.oci.names import Tag
from pyregistry.storage.repositories.repository import Repository
from pyregistry.threads.fair_scheduler import Walk


async def list_tags(request: web.Request) -> web.StreamResponse:
    """end-8a and 8b `GET /v2/<name>/tags/list`, in byte order; all tags without `n`."""
    return await respond(request, *await _listed(request))


async def _listed(request: web.Request) -> tuple[bytes, dict[str, str]]:
    repo = repository(request)
    size = page_size(request, settings(request).max_tags, default=None)
    last = parameter(request, "last")
    page, more = await walk(request, _page(repo, last, size))
    headers = next_link(request, n=len(page), last=page[-1]) if more else {}
    return encode_list({"name": repo.name, "tags": page}), headers


def _page(repo: Repository, last: str | None, size: int | None) -> Walk[tuple[list[Tag], bool]]:
    repo.require()
    return (yield from collect_page(repo.tags(after=last), size))
