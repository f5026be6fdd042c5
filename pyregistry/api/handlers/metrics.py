"""The metrics endpoint."""

from aiohttp import web

from pyregistry.api.http.context import METRICS, walk
from pyregistry.observe.metrics import Metrics
from pyregistry.threads.fair_scheduler import at_once


async def get_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`, if `pyregistry.metrics` is set: the page of the debug address, with the registry's login."""
    return await metrics_page(request, request.app[METRICS])


async def metrics_page(request: web.Request, metrics: Metrics) -> web.Response:
    """Return the metrics of all processes, in the format of the `Accept` header."""
    page = at_once(metrics.page, request.headers.get("Accept", ""))
    content, content_type = await walk(request, page)
    return web.Response(body=content, headers={"Content-Type": content_type})
