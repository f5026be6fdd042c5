"""Probe endpoints: liveness, readiness and health of this process, without a password."""

from aiohttp import web

from pyregistry.api.http.context import HEALTH, READINESS
from pyregistry.api.http.responses import json_response
from pyregistry.observe.health import HealthChecks
from pyregistry.oci.errors import Unavailable

RETRY = {"Retry-After": "5"}


async def alive(request: web.Request) -> web.Response:
    """`GET /`: empty, as in the CNCF registry, for load balancers. 503 while a health check fails."""
    require_health(request.app[HEALTH])
    return web.Response(headers={"Cache-Control": "no-cache"})


async def livez(request: web.Request) -> web.Response:
    """`GET /livez`: this process responds; without a response it should be restarted."""
    return json_response({"status": "ok"}, {"Cache-Control": "no-cache"})


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: 503 while a health check fails, the storage cannot be written, or the process is stopping."""
    obstacles = await request.app[READINESS].obstacles()
    if obstacles:
        raise Unavailable(f"not ready: {', '.join(obstacles)}", headers=RETRY)
    return json_response({"status": "ok"}, {"Cache-Control": "no-cache"})


def require_health(health: HealthChecks) -> None:
    """Raise Unavailable while a check fails; only /debug/health and the log name its file or address."""
    kinds = health.failing_kinds
    if kinds:
        raise Unavailable(f"health check failed: {', '.join(kinds)}", headers=RETRY)
