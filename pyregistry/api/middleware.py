"""Middlewares around every handler: errors become the spec's body, and the caller is checked once."""

import errno
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from pyregistry.api.handlers.health import RETRY, require_health
from pyregistry.api.http.client import connection_of
from pyregistry.api.http.context import (
    AUTHENTICATOR,
    HEALTH,
    PRINCIPAL,
    REFUSED_TOKENS,
    SETTINGS,
    TOKENS,
    Handler,
    Settings,
    authorization,
    repository_name,
)
from pyregistry.api.http.decision import DECISION
from pyregistry.api.http.forwarded import remote_of
from pyregistry.api.http.origin import origin
from pyregistry.api.http.request_id import HEADER, request_id
from pyregistry.api.http.responses import SERVER, error_response, warning_headers
from pyregistry.api.routes import ENDPOINT_OF, Endpoint
from pyregistry.auth.access import Access, Action, Fault
from pyregistry.auth.credentials import DELAYING, Refusal
from pyregistry.auth.scopes import bearer_token, with_implied
from pyregistry.common.system_errors import explained
from pyregistry.oci.errors import (
    BlobUploadUnknown,
    Denied,
    InternalError,
    NameInvalid,
    NameUnknown,
    RegistryError,
    RequestInvalid,
    StorageFull,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from pyregistry.threads.wait_budget import IS_GONE

CLIENT_GONE = 499
"""Status of a request whose client has disconnected, only for the log."""

Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
MIDDLEWARES: web.AppKey[tuple[Middleware, ...]] = web.AppKey("middlewares")
"""Middlewares that cached responses need not pass: the fast path calls the same Decision."""

log = structlog.get_logger("pyregistry.api")

_OURS: Mapping[str, str] = {"Docker-Distribution-Api-Version": "registry/2.0", "Server": SERVER}
_BY_ERRNO: Mapping[int, RegistryError] = {
    errno.ENOSPC: StorageFull("no space left for this upload"),
    errno.EDQUOT: StorageFull("no space left for this upload"),
    errno.EROFS: Unavailable("the storage is read-only", headers=RETRY),
    errno.EMFILE: Unavailable("too busy", headers=RETRY),
    errno.ENFILE: Unavailable("too busy", headers=RETRY),
}

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""No permission to write, or a file system without locks: see docs/operations.md."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into the spec's error body; the cause of a 5xx is only logged."""
    IS_GONE.set(lambda: request.transport is None)  # a request has a context of its own: see request_id.identify
    try:
        return await handler(request)
    except RegistryError as error:
        known = _logged(request, error)
    except web.HTTPException as error:
        # aiohttp's own: no route, as outside of http.prefix.
        known = NameUnknown("no such endpoint") if error.status == 404 else RequestInvalid(error.reason)
    except web.RequestPayloadError:
        known = RequestInvalid("the body is not valid HTTP")
    except ConnectionError:
        return web.Response(status=CLIENT_GONE)
    except OSError as error:
        known = _storage_error(request, error)
    except Exception as error:
        log.error("unexpected error", method=request.method, path=request.path, exc_info=error)
        known = InternalError()
    response = error_response(known, request_id(request))
    if not request.content.at_eof() or (isinstance(known, BlobUploadUnknown) and request.body_exists):
        # If the body is unread, close after responding. Do so for every unknown upload, so the response does not depend
        # on packet timing: a body that came with its headers was read (bodies.body_if_received).
        response.force_close()
    return response


def _logged(request: web.Request, error: RegistryError) -> RegistryError:
    """Log an error that needs the operator: at the reserve's limit, a little before the system's own ENOSPC."""
    if isinstance(error, StorageFull):
        log.error("storage error", method=request.method, path=request.path, error="ENOSPC", reason=error.detail)
    return error


def _storage_error(request: web.Request, error: OSError) -> RegistryError:
    log.error("storage error", method=request.method, path=request.path, **explained(error))
    if error.errno in _REFUSED and request.method not in {"GET", "HEAD"}:
        return Unavailable("the storage cannot be written", headers=RETRY)
    return _BY_ERRNO.get(error.errno or 0, InternalError())


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count requests, except those of probes; around `errors`, so that it sees every status."""
    endpoint = request.app[ENDPOINT_OF].get(request.match_info.route)
    if endpoint is not None and endpoint.is_monitoring:
        return await handler(request)
    name = "other" if endpoint is None else endpoint.name
    running, status, sent = request.app[DECISION].begin(name, request.method), CLIENT_GONE, 0
    try:
        response = await handler(request)
        status, sent = response.status, _bytes_to_send(request, response)
        return response
    finally:
        if running is not None:
            running.end(status, request.content.total_bytes, sent)


def _bytes_to_send(request: web.Request, response: web.StreamResponse) -> int:
    if request.method == "HEAD" or response.status == CLIENT_GONE:
        return 0
    return response.content_length or 0


@web.middleware
async def healthy(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests while a health check fails, as in the CNCF registry; probes are still served."""
    endpoint = request.app[ENDPOINT_OF].get(request.match_info.route)
    if (endpoint is None or not endpoint.is_monitoring) and not request.app[DECISION].is_serving:
        require_health(request.app[HEALTH])
    return await handler(request)


@web.middleware
async def access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Authenticate and authorize the caller once, before the handler, the storage and `100 Continue`."""
    if request.method == "OPTIONS":
        if request.raw_path == "*":  # a ping of the whole server (RFC 9110, 9.3.7), without a route
            return web.Response(status=204)
        return await handler(request)
    _make_refusals_evictable(request)
    app = request.app
    endpoint = app[ENDPOINT_OF].get(request.match_info.route)
    if endpoint is not None and endpoint.action is Action.PROBE:
        return await handler(request)
    if endpoint is not None and endpoint.action is Action.TOKEN and app[TOKENS] is not None:
        return await handler(request)
    try:
        principal = await app[DECISION].authenticate(request.headers, remote_of(request))
    except Unauthorized as error:
        if bearer_token(authorization(request)) is not None:
            app[REFUSED_TOKENS][Refusal.TOKEN] += 1
        raise Unauthorized(_detail(request, endpoint), headers=_challenge(request, endpoint, failed=True)) from error
    request[PRINCIPAL] = principal
    if endpoint is None:
        return await handler(request)
    _refuse_switched_off(request, endpoint)
    name = repository_name(request) if "name" in request.match_info else None
    _authorize(request, endpoint, Access(endpoint.action, name))
    return await handler(request)


def _make_refusals_evictable(request: web.Request) -> None:
    connection = connection_of(request)
    if connection is not None:
        DELAYING.set(connection.evictable)


def _authorize(request: web.Request, endpoint: Endpoint, wanted: Access) -> None:
    """Raise 401 if a login or another token could help, else 403, which clients print as "denied"."""
    principal, decision = request[PRINCIPAL], request.app[DECISION]
    if decision.allows(principal, wanted):
        return
    could_log_in = decision.allows_another_login(principal, wanted)
    challenge = _challenge(request, endpoint, failed=False) if could_log_in else {}
    if challenge:
        raise Unauthorized(_detail(request, endpoint), headers=challenge)
    raise Denied({"action": wanted.action, "name": wanted.repository})


def _challenge(request: web.Request, endpoint: Endpoint | None, *, failed: bool) -> dict[str, str]:
    """Return the challenge; `failed` if the caller's credentials are invalid."""
    fault = None
    if bearer_token(authorization(request)) is not None:
        fault = Fault.INVALID_TOKEN if failed else Fault.INSUFFICIENT_SCOPE
    challenge = request.app[AUTHENTICATOR].challenge(_wanted(request, endpoint), origin(request), fault)
    return {"WWW-Authenticate": challenge} if challenge is not None else {}


def _wanted(request: web.Request, endpoint: Endpoint | None) -> list[Access]:
    """Return the accesses that a token for this request should cover."""
    if endpoint is None:
        return []
    if "name" not in request.match_info:
        return [Access(endpoint.action)]
    try:
        target = Access(endpoint.action, repository_name(request))
    except NameInvalid:
        return []
    return with_implied([*(endpoint.reads(request) if endpoint.reads is not None else ()), target])


def _detail(request: web.Request, endpoint: Endpoint | None) -> object:
    """Return the CNCF registry's detail of the request: without one podman and skopeo show no message."""
    name = request.match_info.get("name")
    if endpoint is None or name is None:
        return None
    return [{"Type": "repository", "Class": "", "Name": name, "Action": endpoint.action}]


def _refuse_switched_off(request: web.Request, endpoint: Endpoint) -> None:
    settings = request.app[SETTINGS]
    if settings.read_only and endpoint.mutates:
        raise Unsupported("the registry is read-only")
    if endpoint.action is Action.DELETE and not settings.delete_enabled:
        raise Unsupported("deletion is disabled; set storage.delete.enabled")


def adding_headers(settings: Settings) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a function that adds the headers of every response; for Application.on_response_prepare."""
    configured = _configured_headers(settings)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_OURS, **{HEADER: request_id(request)})
        response.headers.extend(configured)

    return add_headers


def constant_headers(settings: Settings) -> list[tuple[str, str]]:
    """Return the headers of every response that are always the same."""
    return [*_OURS.items(), *_configured_headers(settings)]


def _configured_headers(settings: Settings) -> list[tuple[str, str]]:
    return [*settings.headers, *warning_headers(settings.warnings)]
