"""Pages of a list: `n`, `last` and the `Link` to the next one (end-8b, and Docker's catalog)."""

import re
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web

from pyregistry.api.context import parameter
from pyregistry.oci.errors import RequestInvalid
from pyregistry.storage.turns import Steps, Walk

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)

Item = TypeVar("Item", bound=str)


def page_size(request: web.Request, maximum: int, default: int | None) -> int | None:
    """`n`, at most `maximum`; raises RequestInvalid.

    The CNCF registry answers PAGINATION_NUMBER_INVALID, a code that the spec's table does not have; and it refuses a
    large `n`, which the spec does not.
    """
    value = parameter(request, "n")
    if value is None:
        return default
    if _NUMBER.fullmatch(value) is None:
        raise RequestInvalid("n is a number of at most 19 digits")
    return min(int(value), maximum)


def take(items: Steps[Item], size: int | None) -> Walk[tuple[list[Item], bool]]:
    """Walk to the first `size` items; return them, and whether there are more."""
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
    """A `Link` header to the same path with other parameters, relative (RFC 8288)."""
    return {"Link": f'<{request.rel_url.raw_path}?{urlencode(parameters)}>; rel="next"'}
