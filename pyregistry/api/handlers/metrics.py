"""Showing what was counted."""

from aiohttp import web

from pyregistry.api.http.context import METRICS, walk
from pyregistry.observe.metrics import Metrics
from pyregistry.threads.turns import at_once


async def get_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`, if `pyregistry.metrics` is set: what the debug address shows, with the registry's passwords."""
    return await metrics_page(request, request.app[METRICS])


async def metrics_page(request: web.Request, metrics: Metrics) -> web.Response:
    """All processes together, in the format that was asked for."""
    page = at_once(metrics.page, request.headers.get("Accept", ""))
    content, content_type = await walk(request, page)
    return web.Response(body=content, headers={"Content-Type": content_type})
