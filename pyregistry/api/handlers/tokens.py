"""The token endpoint, for clients that got a Bearer challenge."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import web

from pyregistry.api.handlers.bodies import body
from pyregistry.api.handlers.large import respond
from pyregistry.api.http.context import PRINCIPAL, TOKENS, authorization, offload_read
from pyregistry.api.http.forwarded import remote_of
from pyregistry.api.http.responses import encode_json, json_response
from pyregistry.api.transport.heads import MAX_HEAD_BYTES
from pyregistry.auth.access import Principal
from pyregistry.auth.scopes import parse_scopes
from pyregistry.oci.errors import NameUnknown, RequestInvalid

if TYPE_CHECKING:  # see context
    from pyregistry.auth.tokens import TokenService

_MAX_FORM_BYTES = MAX_HEAD_BYTES
"""Bytes of a form: it may have as many scopes as a query, and the password as well."""
_MAX_FIELDS = 5_000
_SCOPES_IN_THREAD_BYTES = 4_000
"""Bytes of scopes above which a thread parses them: those of the longest request take 30 ms."""
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def get_token(request: web.Request) -> web.StreamResponse:
    """docker `GET /auth/token`: a token for the user of a Basic header, or an anonymous one.

    `scope` may be given several times; the other parameters are for token servers of several registries.
    """
    tokens = _tokens(request)
    principal = request[PRINCIPAL] = await tokens.identify(authorization(request), remote_of(request))
    return await _answer(request, tokens, principal, request.query.getall("scope", ()))


async def post_token(request: web.Request) -> web.StreamResponse:
    """docker `POST /auth/token`: the same as OAuth2 (RFC 6749, 4.3), with the password in a form.

    There are no refresh tokens: a client that requests one with `access_type=offline` keeps using the password.
    """
    tokens = _tokens(request)
    form = await _form(request)
    if form.get("grant_type") != ["password"]:
        return _refusal("unsupported_grant_type")
    users, passwords = form.get("username", []), form.get("password", [])
    if len(users) != 1 or len(passwords) != 1:
        return _refusal("invalid_request")
    principal = request[PRINCIPAL] = await tokens.sign_in(users[0], passwords[0].encode(), remote_of(request))
    return await _answer(request, tokens, principal, form.get("scope", ()))


def _tokens(request: web.Request) -> "TokenService":
    tokens = request.app[TOKENS]
    if tokens is None:
        raise NameUnknown("this registry issues no tokens")
    return tokens


async def _form(request: web.Request) -> dict[str, list[str]]:
    content = bytearray()
    async for chunk in body(request):
        content += chunk
        if len(content) > _MAX_FORM_BYTES:
            raise RequestInvalid("the form is too large")
    try:
        text = content.decode("ascii")
        return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise RequestInvalid("not a form") from error


async def _answer(
    request: web.Request, tokens: "TokenService", principal: Principal, scopes: Sequence[str]
) -> web.StreamResponse:
    """Respond with the token: `token` for docker, `access_token` for OAuth2; clients read either."""
    many = sum(map(len, scopes)) > _SCOPES_IN_THREAD_BYTES
    issued = await tokens.issue(principal, await offload_read(parse_scopes, scopes) if many else parse_scopes(scopes))
    value = {
        "token": issued.token,
        "access_token": issued.token,
        "token_type": "Bearer",
        "scope": issued.scope,
        "expires_in": issued.expires_in,
        "issued_at": datetime.fromtimestamp(issued.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return await respond(request, encode_json(value), _NO_STORE)


def _refusal(error: str) -> web.Response:
    """Return an error of RFC 6749, 5.2: this endpoint is not the spec's, so its error body is not used."""
    response = json_response({"error": error}, _NO_STORE)
    response.set_status(400)
    return response
