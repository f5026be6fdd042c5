"""Showing what was counted."""

from aiohttp import web

from pyregistry.api.context import METRICS, offload
from pyregistry.metrics import Metrics


async def get_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`, if `pyregistry.metrics` is set: what the debug address shows, with the registry's passwords."""
    return await metrics_page(request, request.app[METRICS])


async def metrics_page(request: web.Request, metrics: Metrics) -> web.Response:
    """All processes together, in the format that was asked for."""
    content, content_type = await offload(metrics.page, request.headers.get("Accept", ""))
    return web.Response(body=content, headers={"Content-Type": content_type})
