"""The catalog: Docker's list of repositories, which the OCI spec does not have."""

from aiohttp import web

from pyregistry.api.handlers.large import respond
from pyregistry.api.handlers.paging import collect_page, next_link, page_size
from pyregistry.api.http.context import parameter, registry, settings, view, walk
from pyregistry.api.http.responses import encode_list


async def list_repositories(request: web.Request) -> web.StreamResponse:
    """`GET /v2/_catalog`: the repositories that the caller may pull, in the order of their names' components."""
    return await respond(request, *await _listed(request))


async def _listed(request: web.Request) -> tuple[bytes, dict[str, str]]:
    maximum = settings(request).max_catalog_entries
    size = page_size(request, maximum, default=maximum)
    last = parameter(request, "last")
    page, more = await walk(request, collect_page(registry(request).list_catalog(last, view(request)), size))
    headers = next_link(request, n=len(page), last=page[-1]) if more else {}
    return encode_list({"repositories": page}), headers
