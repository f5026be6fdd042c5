"""Answers that several handlers give."""

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from pyregistry.api.http.origin import base_url
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import RegistryError
from pyregistry.storage.seams.uploads import Upload

JSON = "application/json"
SERVER = "pyregistry"
"""The `Server` header: no version, which would tell an attacker what to try."""
_WARNING_BYTES = 4096
"""The most that the spec allows all `Warning` headers of an answer to have together."""


def json_response(value: object, headers: Mapping[str, str] | None = None, content_type: str = JSON) -> web.Response:
    """200 with a JSON body."""
    return web.Response(body=encode_json(value), content_type=content_type, headers=headers)


def encode_json(value: object) -> bytes:
    """JSON; our own string types (names, tags, digests) as the strings that they are."""
    return msgspec.json.encode(value, enc_hook=str)


def encode_list(value: object) -> bytes:
    """JSON and a newline, as from the CNCF registry: in a shell `while read` leaves out a line that does not end."""
    return encode_json(value) + b"\n"


def error_response(error: RegistryError, request_id: str) -> web.Response:
    """The spec's envelope; see "Error Codes"."""
    return web.Response(status=error.status, headers=error.headers, content_type=JSON, body=envelope(error, request_id))


def envelope(error: RegistryError, request_id: str) -> bytes:
    """The bytes of an error's body, with a newline for whoever reads it in a terminal.

    A 5xx says nothing of the inside, but by which id the operator finds it in the log: clients show their users the
    body, and not the header that every answer has.
    """
    entries = error.entries()
    if error.status >= 500:
        entries = [{**entry, "detail": _with_id(entry.get("detail"), request_id)} for entry in entries]
    return encode_json({"errors": entries}) + b"\n"


def _with_id(detail: object, request_id: str) -> str:
    return f"{detail} (request {request_id})" if detail else f"request {request_id}"


def blob_created(request: web.Request, name: str, digest: Digest) -> web.Response:
    """201 with the blob's place."""
    headers = {"Location": f"{base_url(request)}/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)


def upload_headers(request: web.Request, upload: Upload, offset: int) -> dict[str, str]:
    """Where to go on with an upload.

    docker reads the layer's size from `Range: 0-N`, without a unit; an upload without bytes says `0-0`. The query says
    where the upload stands, and is there for scripts that append `&digest=` to the CNCF registry's.
    """
    return {
        "Location": f"{base_url(request)}/v2/{upload.repository}/blobs/uploads/{upload.id}?_state={offset}",
        "Range": f"0-{max(offset - 1, 0)}",
        "Docker-Upload-Uuid": upload.id,
    }


def etag(digest: str) -> str:
    """A strong validator: the digest, never made from the file's time, which garbage collection changes."""
    return f'"{digest}"'


def not_modified(request: web.Request, digest: str, headers: Mapping[str, str]) -> web.StreamResponse | None:
    """304 if the client has these bytes already."""
    tags = request.headers.getall("If-None-Match", ())
    if not any(_names(tag, digest) for tag in ",".join(tags).split(",")):
        return None
    return web.Response(status=304, headers=headers)


def _names(tag: str, digest: str) -> bool:
    """Compare weakly (RFC 9110, 13.1.2); clients that copy `Docker-Content-Digest` send it without quotes."""
    return tag.strip().removeprefix("W/").strip('"') in {digest, "*"}


def warning_headers(sentences: Sequence[str]) -> list[tuple[str, str]]:
    """The spec's "Warnings": code 299, agent "-", no date, and as many of them as fit into 4096 bytes."""
    found: list[tuple[str, str]] = []
    room = _WARNING_BYTES
    for text in sentences:
        line = " ".join(text.split())  # YAML's `|` leaves a newline at the end
        value = '299 - "{}"'.format(line.replace("\\", "\\\\").replace('"', '\\"'))
        room -= len(value.encode())
        if room < 0:
            break
        found.append(("Warning", value))
    return found
