"""Responses of several handlers."""

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from pyregistry.api.http.origin import base_url
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import RegistryError
from pyregistry.storage.seams.uploads import Upload

JSON = "application/json"
SERVER = "pyregistry"
"""The `Server` header: no version, which would help an attacker."""
_WARNING_BYTES = 4096
"""The spec's limit for all `Warning` headers of a response together."""


def json_response(value: object, headers: Mapping[str, str] | None = None, content_type: str = JSON) -> web.Response:
    """Return a 200 with a JSON body."""
    return web.Response(body=encode_json(value), content_type=content_type, headers=headers)


def encode_json(value: object) -> bytes:
    """Return JSON; our own string types (names, tags, digests) become strings."""
    return msgspec.json.encode(value, enc_hook=str)


def encode_list(value: object) -> bytes:
    """Return JSON and a newline, as the CNCF registry sends: `while read` in a shell skips an unterminated line."""
    return encode_json(value) + b"\n"


def error_response(error: RegistryError, request_id: str) -> web.Response:
    """Return an error with the spec's body, see "Error Codes"."""
    return web.Response(status=error.status, headers=error.headers, content_type=JSON, body=envelope(error, request_id))


def envelope(error: RegistryError, request_id: str) -> bytes:
    """Return the body of an error, with a newline for terminals.

    A 5xx hides its cause, and has the request's id, by which the operator finds it in the log. Clients show their users
    the body, but not the header that every response has.
    """
    entries = error.entries()
    if error.status >= 500:
        entries = [{**entry, "detail": _with_id(entry.get("detail"), request_id)} for entry in entries]
    return encode_json({"errors": entries}) + b"\n"


def _with_id(detail: object, request_id: str) -> str:
    return f"{detail} (request {request_id})" if detail else f"request {request_id}"


def blob_created(request: web.Request, name: str, digest: Digest) -> web.Response:
    """Return a 201 with the blob's location."""
    headers = {"Location": f"{base_url(request)}/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)


def upload_headers(request: web.Request, upload: Upload, offset: int) -> dict[str, str]:
    """Return the headers from which a client continues an upload.

    docker reads the layer's size from `Range: 0-N`, without a unit; an upload without bytes has `0-0`. The query has
    the offset, and lets scripts append `&digest=`, as they do with the CNCF registry.
    """
    return {
        "Location": f"{base_url(request)}/v2/{upload.repository}/blobs/uploads/{upload.id}?_state={offset}",
        "Range": f"0-{max(offset - 1, 0)}",
        "Docker-Upload-Uuid": upload.id,
    }


def etag(digest: str) -> str:
    """Return a strong validator: the digest, not the file's time, which garbage collection changes."""
    return f'"{digest}"'


def not_modified(request: web.Request, digest: str, headers: Mapping[str, str]) -> web.StreamResponse | None:
    """Return a 304 if the client has these bytes already."""
    tags = request.headers.getall("If-None-Match", ())
    if not any(_names(tag, digest) for tag in ",".join(tags).split(",")):
        return None
    return web.Response(status=304, headers=headers)


def _names(tag: str, digest: str) -> bool:
    """Compare weakly (RFC 9110, 13.1.2); clients that copy `Docker-Content-Digest` send it without quotes."""
    return tag.strip().removeprefix("W/").strip('"') in {digest, "*"}


def warning_headers(sentences: Sequence[str]) -> list[tuple[str, str]]:
    """Return the spec's "Warnings": code 299, agent "-", no date, as many as fit into 4096 bytes."""
    found: list[tuple[str, str]] = []
    left = _WARNING_BYTES
    for text in sentences:
        line = " ".join(text.split())  # YAML's `|` leaves a newline at the end
        value = '299 - "{}"'.format(line.replace("\\", "\\\\").replace('"', '\\"'))
        left -= len(value.encode())
        if left < 0:
            break
        found.append(("Warning", value))
    return found
