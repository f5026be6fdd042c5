"""Referrers: the manifests that name this one as their subject."""

import msgspec
from aiohttp import web

from pyregistry.api.handlers.large import respond
from pyregistry.api.handlers.paging import next_link, page_size
from pyregistry.api.http.context import parameter, repository, settings, walk
from pyregistry.api.http.responses import encode_json
from pyregistry.oci.digest import Digest
from pyregistry.oci.media_types import OCI_INDEX
from pyregistry.storage.repositories.referrer_pages import PAGE_BYTES, Page, Wanted
from pyregistry.storage.repositories.repository import Repository
from pyregistry.threads.fair_scheduler import at_once

_AROUND = 200
"""Bytes of an index around its list."""


async def list_referrers(request: web.Request) -> web.StreamResponse:
    """end-12a and 12b `GET /v2/<name>/referrers/<digest>`.

    200 with an empty list for an unknown subject or repository: a 404 would tell the client that there is no
    referrers API. A page has at most as many bytes as a manifest may have, and never above 4 MiB.
    """
    return await respond(request, *await _listed(request), OCI_INDEX)


async def _listed(request: web.Request) -> tuple[bytes, dict[str, str]]:
    repo = repository(request)
    subject = Digest(request.match_info["digest"])
    wanted = Wanted(
        artifact_type=parameter(request, "artifactType"),
        count=page_size(request, settings(request).max_tags, default=None),
        after=parameter(request, "last") or "",
        size=min(PAGE_BYTES, settings(request).max_manifest_size) - _AROUND,
    )
    page, body = await walk(request, at_once(_page, repo, subject, wanted))
    headers = {} if wanted.artifact_type is None else {"OCI-Filters-Applied": "artifactType"}
    return body, headers | _link(request, wanted, page)


def _page(repo: Repository, subject: Digest, wanted: Wanted) -> tuple[Page, bytes]:
    page = repo.referrers(subject, wanted)
    manifests = [msgspec.Raw(descriptor) for descriptor in page.descriptors]
    return page, encode_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def _link(request: web.Request, wanted: Wanted, page: Page) -> dict[str, str]:
    if page.last is None:
        return {}
    asked = {"n": wanted.count, "last": page.last, "artifactType": wanted.artifact_type}
    return next_link(request, **{name: value for name, value in asked.items() if value is not None})
