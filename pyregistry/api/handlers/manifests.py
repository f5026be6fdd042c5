"""Manifests: push, pull, existence, deletion of manifests and tags."""

from contextlib import suppress

from aiohttp import web

from pyregistry.api.handlers.accepting import VARY, image_of_list, wants_image
from pyregistry.api.handlers.bodies import holding_manifest, read_manifest_body
from pyregistry.api.handlers.download import send_manifest
from pyregistry.api.handlers.large import LARGE_BYTES
from pyregistry.api.http.cached import Cached, Caches
from pyregistry.api.http.context import (
    MANIFEST_CACHE,
    document_slot,
    offload,
    offload_read,
    repository,
    repository_name,
    walk,
)
from pyregistry.api.http.decision import DECISION, Content, Headers, caller_of, observe_pull, record
from pyregistry.api.http.origin import base_url
from pyregistry.api.http.responses import etag, not_modified
from pyregistry.auth.access import Principal
from pyregistry.observe.observers import Event, EventAction, EventTarget
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestInvalid, ManifestUnknown
from pyregistry.oci.manifest import StoredManifest
from pyregistry.oci.media_types import INDEXES
from pyregistry.oci.names import Tag, parse_reference
from pyregistry.storage.repositories.repository import PushedManifest
from pyregistry.threads.fair_scheduler import at_once

MAX_TAGS = 32
"""`tag` parameters of one push; the spec wants at least ten."""
_PARSED_IN_TURN_BYTES = 64 * 1024
"""Bytes of a manifest above which parsing waits its turn: many large ones at once would keep the interpreter."""


async def get_manifest(request: web.Request) -> web.StreamResponse:
    """end-3 `GET` and `HEAD /v2/<name>/manifests/<tag-or-digest>`.

    The stored bytes are served with their own type, whatever `Accept` has: the CNCF registry responds 404 for other
    types, which has broken clients. `accepting` has the exception.
    """
    name, reference = request.match_info["name"], request.match_info["reference"]
    stored = request.app[MANIFEST_CACHE].get(name, reference, leased=request.method == "HEAD")
    if stored is None:
        stored = await _read_manifest(request, reference)
    image = await image_of_list(request, stored)
    if image is not None:
        with suppress(ManifestUnknown):  # an index may name manifests that are not here
            stored = await _read_manifest(request, image)
    headers = manifest_headers(stored) | (VARY if image is not None else {})
    content = Content(EventTarget.MANIFEST, stored.digest, stored.media_type, len(stored.content))
    response = not_modified(request, stored.digest, headers)
    if response is None and (request.method == "HEAD" or content.size <= LARGE_BYTES):
        response = web.Response(body=stored.content, headers=headers)
    if response is None:
        digest = stored.digest
        del stored  # it would stay in memory until the client has read it
        response = await send_manifest(request, digest, content.size, headers)
    observe_pull(request, reference, content, response.status)
    return response


def cached_manifest(
    caches: Caches, name: str, reference: str, headers: Headers, _principal: Principal
) -> Cached | None:
    """Return the GET of `get_manifest` from the cache, as a FindCached."""
    stored = caches.manifests.get(name, reference, leased=False)
    if stored is None or not _is_usual(stored, headers):
        return None
    if len(stored.content) > LARGE_BYTES:  # sent from its file: a client that stops reading would keep a copy
        return None
    return Cached(manifest_headers(stored), len(stored.content), stored.content)


def cached_manifest_head(
    caches: Caches, name: str, reference: str, headers: Headers, _principal: Principal
) -> Cached | None:
    """Return the HEAD of `get_manifest` from the cache, as a FindCached."""
    stored = caches.manifests.get(name, reference, leased=True)
    if stored is None or not _is_usual(stored, headers):
        return None
    return Cached(manifest_headers(stored), len(stored.content), b"")


def _is_usual(stored: StoredManifest, headers: Headers) -> bool:
    if not stored.media_type.isprintable():  # another registry's could break the head
        return False
    return stored.media_type not in INDEXES or not wants_image(headers)


def manifest_headers(stored: StoredManifest) -> dict[str, str]:
    """Return the headers of a manifest."""
    headers = {
        "Docker-Content-Digest": stored.digest,
        "ETag": etag(stored.digest),
        "Content-Type": stored.media_type,
    }
    if stored.media_type in INDEXES:
        headers |= VARY
    return headers


async def _read_manifest(request: web.Request, value: str) -> StoredManifest:
    repo, cache = repository(request), request.app[MANIFEST_CACHE]
    try:
        reference = parse_reference(value)
    except ManifestInvalid as error:  # a tag that cannot exist
        raise ManifestUnknown(error.detail) from error
    stored, known = await offload_read(cache.load, repo, reference, leased=request.method == "HEAD")
    cache.store(repo.name, reference, stored, known)
    return stored


@holding_manifest
async def put_manifest(request: web.Request) -> web.Response:
    """end-7a and 7b `PUT /v2/<name>/manifests/<tag-or-digest>`, by digest also with `tag` parameters."""
    repo = repository(request)
    reference = parse_reference(request.match_info["reference"])
    # A push by tag has its tag: other registries then ignore the parameter.
    wanted = () if isinstance(reference, Tag) else request.query.getall("tag", ())
    tags = [Tag(tag) for tag in wanted if tag]
    if len(tags) > MAX_TAGS:
        raise ManifestInvalid(f"a push by digest may name up to {MAX_TAGS} tags")
    content = await read_manifest_body(request)
    async with document_slot(request, content):
        pushed = await _put(request, reference, content, tags)
    await record(request, _pushed(request, pushed, len(content)))
    headers = {
        "Location": f"{base_url(request)}/v2/{repo.name}/manifests/{pushed.digest}",
        "Docker-Content-Digest": pushed.digest,
    }
    if pushed.subject is not None:
        headers["OCI-Subject"] = pushed.subject
    if tags:
        headers["OCI-Tag"] = ", ".join(tags)
    return web.Response(status=201, headers=headers)


async def _put(request: web.Request, reference: Tag | Digest, content: bytes, tags: list[Tag]) -> PushedManifest:
    repo, content_type = repository(request), _content_type(request)
    is_observed = request.app[DECISION].is_observed
    if len(content) <= _PARSED_IN_TURN_BYTES:
        return await offload(repo.put_manifest, reference, content, content_type, tags, is_observed)
    checked = await walk(request, at_once(repo.check_manifest, reference, content, content_type), purpose="push")
    return await offload(repo.put_checked, checked, tags, is_observed)


def _pushed(request: web.Request, pushed: PushedManifest, size: int) -> Event:
    return Event(
        EventAction.PUSH,
        EventTarget.MANIFEST,
        repository_name(request),
        pushed.digest,
        caller_of(request),
        pushed.media_type,
        size,
        pushed.tags,
        pushed.previous,
    )


async def delete_manifest(request: web.Request) -> web.Response:
    """end-9 `DELETE /v2/<name>/manifests/<tag-or-digest>`.

    By digest it deletes the manifest and every tag that names it; by tag only the tag.
    """
    repo = repository(request)
    reference = parse_reference(request.match_info["reference"])
    if isinstance(reference, Digest):
        target, digest, tags = EventTarget.MANIFEST, reference, await offload(repo.delete_manifest, reference)
    else:
        target, digest, tags = EventTarget.TAG, await offload(repo.delete_tag, reference), (reference,)
    await record(request, Event(EventAction.DELETE, target, repo.name, digest, caller_of(request), tags=tags))
    return web.Response(status=202)


def _content_type(request: web.Request) -> str | None:
    """Return the media type without its parameters, which the spec ignores; None if absent.

    In lower case, as in the CNCF registry (RFC 9110, 8.3.1).
    """
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None
