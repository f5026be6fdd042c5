"""Whether this process lives, is ready, and may answer at all: for whoever watches it, without a password."""

from aiohttp import web

from pyregistry.api.http.context import HEALTH, READINESS
from pyregistry.api.http.responses import json_response
from pyregistry.observe.health import Health
from pyregistry.oci.errors import Unavailable

RETRY = {"Retry-After": "5"}


async def alive(request: web.Request) -> web.Response:
    """`GET /`: empty, as the CNCF registry answers it; load balancers ask for it. 503 while a health check fails."""
    require_health(request.app[HEALTH])
    return web.Response(headers={"Cache-Control": "no-cache"})


async def livez(request: web.Request) -> web.Response:
    """`GET /livez`: this process answers; whoever gets no answer should start it again."""
    return json_response({"status": "ok"}, {"Cache-Control": "no-cache"})


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: 503 while a health check fails, the storage cannot be written, or the process is ending."""
    obstacles = await request.app[READINESS].obstacles()
    if obstacles:
        raise Unavailable(f"not ready: {', '.join(obstacles)}", headers=RETRY)
    return json_response({"status": "ok"}, {"Cache-Control": "no-cache"})


def require_health(health: Health) -> None:
    """Raises Unavailable while a check fails; which file or address it is, only /debug/health and the log tell."""
    kinds = health.failing_kinds
    if kinds:
        raise Unavailable(f"health check failed: {', '.join(kinds)}", headers=RETRY)
