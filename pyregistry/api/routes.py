"""THE endpoint table. Only its rows are reachable, and each row has an action."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from pyregistry.api.handlers import base, blobs, catalog, health, manifests, metrics, referrers, tags, tokens, uploads
from pyregistry.api.handlers.bodies import defer_continue
from pyregistry.api.http.cached import FindCached
from pyregistry.api.http.context import METRICS, Handler
from pyregistry.auth.access import Access, Action
from pyregistry.auth.scopes import TOKEN_PATH
from pyregistry.oci.errors import Unsupported

# `.+` is greedy, so a path is matched from the right: a name may contain `blobs`, `manifests`, `tags`, `uploads`.
# aiohttp decodes after the match, so these patterns check nothing; the types of `oci.names` do. With `s` a decoded
# newline matches as well, so that they see it.
_REPOSITORY = "/v2/{name:(?s:.+)}"
_MANIFEST = _REPOSITORY + "/manifests/{reference:[^/]+}"
_UPLOADS = _REPOSITORY + "/blobs/uploads{slash:/?}"
_UPLOAD = _REPOSITORY + "/blobs/uploads/{upload:[^/]+}"
_BLOB = _REPOSITORY + "/blobs/{digest:[^/]+}"
_TAGS = _REPOSITORY + "/tags/list"
_REFERRERS = _REPOSITORY + "/referrers/{digest:[^/]+}"
_ANY = "*"
_NAMES = {
    _MANIFEST: "manifest",
    _UPLOADS: "blob_upload",
    _UPLOAD: "blob_upload_chunk",
    _BLOB: "blob",
    _TAGS: "tags",
    _REFERRERS: "referrers",
    "/v2/_catalog": "catalog",
}
"""Names in the CNCF registry's metrics; other endpoints have their handler's name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row; `spec` has the ids of the distribution spec, `mutates` decides for a read-only registry."""

    method: str
    path: str
    handler: Handler
    action: Action
    spec: str
    cached: FindCached | None = None
    """Finds the cached response; only for a path that ends in `/WORD/REFERENCE`, with a word of its own."""
    reads: Callable[[web.Request], Sequence[Access]] | None = None
    """Returns the further accesses that a token for the request should cover."""

    @property
    def mutates(self) -> bool:
        """True if it changes the storage."""
        return self.method not in {"GET", "HEAD", _ANY}

    @property
    def is_monitoring(self) -> bool:
        """True for probes and metrics: served at the root whatever the health is, and not counted."""
        return self.action in {Action.PROBE, Action.METRICS}

    @property
    def name(self) -> str:
        """The name in metrics."""
        return _NAMES.get(self.path) or self.handler.__name__


ENDPOINTS = (
    Endpoint("GET", "/v2{slash:/?}", base.base, Action.BASE, "end-1"),
    Endpoint("HEAD", "/v2{slash:/?}", base.base, Action.BASE, "end-1"),
    Endpoint("GET", _MANIFEST, manifests.get_manifest, Action.PULL, "end-3", cached=manifests.cached_manifest),
    Endpoint("HEAD", _MANIFEST, manifests.get_manifest, Action.PULL, "end-3", cached=manifests.cached_manifest_head),
    Endpoint("PUT", _MANIFEST, manifests.put_manifest, Action.PUSH, "end-7a end-7b"),
    Endpoint("DELETE", _MANIFEST, manifests.delete_manifest, Action.DELETE, "end-9"),
    Endpoint("POST", _UPLOADS, uploads.start_upload, Action.PUSH, "end-4a end-4b end-4c end-11", reads=uploads.mounted),
    Endpoint("GET", _UPLOAD, uploads.upload_status, Action.PUSH, "end-13"),
    Endpoint("HEAD", _UPLOAD, uploads.upload_status, Action.PUSH, "end-13"),
    Endpoint("PATCH", _UPLOAD, uploads.append_to_upload, Action.PUSH, "end-5"),
    Endpoint("PUT", _UPLOAD, uploads.finish_upload, Action.PUSH, "end-6"),
    # Needs only the right to push: a client that begins an upload may end it.
    Endpoint("DELETE", _UPLOAD, uploads.cancel_upload, Action.PUSH, "end-14"),
    Endpoint("GET", _BLOB, blobs.get_blob, Action.PULL, "end-2"),
    Endpoint("HEAD", _BLOB, blobs.get_blob, Action.PULL, "end-2", cached=blobs.cached_blob_head),
    Endpoint("DELETE", _BLOB, blobs.delete_blob, Action.DELETE, "end-10"),
    Endpoint("GET", _TAGS, tags.list_tags, Action.PULL, "end-8a end-8b"),
    Endpoint("GET", _REFERRERS, referrers.list_referrers, Action.PULL, "end-12a end-12b"),
    Endpoint("GET", "/v2/_catalog", catalog.list_repositories, Action.CATALOG, "docker"),
    Endpoint("GET", "/", health.alive, Action.PROBE, "none"),
    Endpoint("HEAD", "/", health.alive, Action.PROBE, "none"),
    Endpoint("GET", "/livez", health.livez, Action.PROBE, "none"),
    Endpoint("HEAD", "/livez", health.livez, Action.PROBE, "none"),
    Endpoint("GET", "/readyz", health.readyz, Action.PROBE, "none"),
    Endpoint("HEAD", "/readyz", health.readyz, Action.PROBE, "none"),
    Endpoint("GET", "/metrics", metrics.get_metrics, Action.METRICS, "none"),
    Endpoint("GET", TOKEN_PATH, tokens.get_token, Action.TOKEN, "docker"),
    Endpoint("POST", TOKEN_PATH, tokens.post_token, Action.TOKEN, "docker"),
    Endpoint(_ANY, "/{path:(?s:.*)}", base.not_found, Action.BASE, "none"),
)

ENDPOINT_OF: web.AppKey[dict[web.AbstractRoute, Endpoint]] = web.AppKey("endpoint_of")
"""The row of a matched route; routes for `OPTIONS` and wrong methods are not in it."""


def add_routes(app: web.Application, prefix: str) -> None:
    """Register the table below `prefix`, and the probes at the root.

    Each path also responds to OPTIONS, and with 405 to every other method.
    """
    endpoint_of: dict[web.AbstractRoute, Endpoint] = {}
    by_path: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in ENDPOINTS:
        if endpoint.action is Action.METRICS and METRICS not in app:
            continue  # then the path does not exist
        by_path[endpoint.path].append(endpoint)
    for path, endpoints in by_path.items():
        resource = app.router.add_resource(path if endpoints[0].is_monitoring else prefix + path)
        for endpoint in endpoints:
            route = resource.add_route(endpoint.method, endpoint.handler, expect_handler=defer_continue)
            endpoint_of[route] = endpoint
        methods = sorted(endpoint.method for endpoint in endpoints)
        if _ANY not in methods:
            resource.add_route(_ANY, _other_methods(methods), expect_handler=defer_continue)
    app[ENDPOINT_OF] = endpoint_of


def _other_methods(allowed: list[str]) -> Handler:
    allow = ", ".join((*allowed, "OPTIONS"))

    async def handler(request: web.Request) -> web.StreamResponse:
        """Respond to `OPTIONS`, which browsers send first and without credentials, or with 405."""
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": allow})
        raise Unsupported(f"this path takes {allow}", headers={"Allow": allow})

    return handler
