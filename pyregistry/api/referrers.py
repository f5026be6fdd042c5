"""Referrers: which manifests name this one as their subject."""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec
from aiohttp import web

from pyregistry.api.context import repository, settings, single, walk
from pyregistry.api.paging import next_link, page_size
from pyregistry.api.responses import encode_json, json_response
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import RequestInvalid
from pyregistry.oci.manifest import Descriptor
from pyregistry.oci.media_types import OCI_INDEX
from pyregistry.storage.turns import at_once


async def list_referrers(request: web.Request) -> web.Response:
    """end-12a and 12b `GET /v2/<name>/referrers/<digest>`.

    200 with an empty list for whatever is unknown, also for an unknown repository: 404 would tell the client that
    there is no referrers API. A page holds at most as many bytes as a manifest may have.
    """
    repo = repository(request)
    subject = Digest(request.match_info["digest"])
    artifact_type = single(request, "artifactType", RequestInvalid)
    size = page_size(request, settings(request).max_tags, default=None)
    last = single(request, "last", RequestInvalid)
    found = await walk(request, at_once(repo.referrers, subject))
    if artifact_type is not None:
        found = [descriptor for descriptor in found if descriptor.artifact_type == artifact_type]
    begin = 0 if last is None else bisect_right([descriptor.digest for descriptor in found], last)
    page = _fit(found[begin:], size, settings(request).max_manifest_size)
    headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type is not None else {}
    if page and begin + len(page) < len(found):
        filters = {"artifactType": artifact_type} if artifact_type is not None else {}
        headers |= next_link(request, n=size or len(page), last=found[begin + len(page) - 1].digest, **filters)
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page}
    return json_response(value, headers, OCI_INDEX)


def _fit(descriptors: Sequence[Descriptor], size: int | None, limit: int) -> list[msgspec.Raw]:
    """As many as `size` and `limit` bytes allow, but at least one unless `size` is 0."""
    page: list[msgspec.Raw] = []
    room = limit - 200  # for what stands around the list
    for descriptor in descriptors[:size]:
        encoded = encode_json(descriptor)
        room -= len(encoded) + 1
        if room < 0 and page:
            break
        page.append(msgspec.Raw(encoded))
    return page
