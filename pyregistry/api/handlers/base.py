"""Endpoints of the API as a whole."""

from aiohttp import web

from pyregistry.api.http.responses import json_response
from pyregistry.oci.errors import NameUnknown


async def base(request: web.Request) -> web.Response:
    """end-1 `GET /v2/`: confirms the API and the login. Its 401 decides how docker authenticates."""
    return json_response({})


async def not_found(request: web.Request) -> web.Response:
    """Refuse every other path. The spec has no code for "no such endpoint"."""
    raise NameUnknown("no such endpoint; a repository's are /v2/<name>/manifests, blobs, tags/list and referrers")
