"""Pages of a list: `n`, `last` and the `Link` to the next one (end-8b, and Docker's catalog)."""

import re
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web
from yarl import URL

from pyregistry.api.http.context import parameter, settings
from pyregistry.oci.errors import PageSizeInvalid
from pyregistry.threads.fair_scheduler import Steps, Walk

_NUMBER = re.compile(r"\+?[0-9]{1,19}", re.ASCII)

Item = TypeVar("Item", bound=str)


def page_size(request: web.Request, maximum: int, default: int | None) -> int | None:
    """Return `n`, at most `maximum`, or `default` if absent or empty; raise PageSizeInvalid.

    The CNCF registry refuses a large `n` of its catalog; the spec does not.
    """
    value = parameter(request, "n")
    if not value:
        return default
    if _NUMBER.fullmatch(value) is None:
        raise PageSizeInvalid("n is a number of at most 19 digits")
    return min(int(value), maximum)


def collect_page(items: Steps[Item], size: int | None) -> Walk[tuple[list[Item], bool]]:
    """Walk to the first `size` items; return them, and True if there are more."""
    if size == 0:  # "When n is zero, this endpoint MUST return an empty list, and MUST NOT include a Link header"
        return [], False
    page: list[Item] = []
    for item in items:
        if item is not None:
            page.append(item)
        if size is not None and len(page) > size:
            break
        yield
    if size is None:
        return page, False
    return page[:size], len(page) > size


def next_link(request: web.Request, **parameters: str | int) -> dict[str, str]:
    """Return a `Link` header to the same path with other parameters (RFC 8288), in the CNCF registry's order.

    It is relative, and begins with the path of `http.host`, which a proxy may have removed from the request.
    """
    above, query = URL(settings(request).origin).raw_path.rstrip("/"), urlencode(sorted(parameters.items()))
    return {"Link": f'<{above}{request.rel_url.raw_path}?{query}>; rel="next"'}
