"""The `Accept` header of clients without manifest lists: they get one image of the list that a tag names.

Scripts and cleaners from before 2017 accept only Docker's image manifest, and read `config` of any response. The CNCF
registry sends them the image of linux/amd64. For all others `Accept` is ignored.
"""

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from pyregistry.api.http.context import document_slot, offload_read, settings
from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci import media_types
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid
from pyregistry.oci.manifest import StoredManifest, read_manifest

VARY = {"Vary": hdrs.ACCEPT}
"""Headers of a list, or of the image sent instead: a cache must not give it to other clients."""
_ACCEPT_LISTS = media_types.INDEXES | {"*/*", "application/*"}
_MAX_CHARACTERS = 4096
"""Characters of an `Accept` header above which it is ignored."""
_chosen = BoundedCache[tuple[Digest, str], tuple[Digest | None]](limit=10_000, by_use=True)
"""Images of lists by digest and platform, which never change: parsing a list of 4 MiB takes half a second."""


def wants_image(headers: CIMultiDict[str] | CIMultiDictProxy[str]) -> bool:
    """Return True if a client accepts Docker's image manifests, but not lists."""
    lines = headers.getall(hdrs.ACCEPT, ())
    for line in lines:
        if media_types.OCI_INDEX in line or media_types.DOCKER_MANIFEST_LIST in line:  # nearly all clients
            return False
    accept = ",".join(lines)
    if len(accept) > _MAX_CHARACTERS:
        return False
    types = {word.partition(";")[0].strip().lower() for word in accept.split(",")}
    return media_types.DOCKER_MANIFEST in types and types.isdisjoint(_ACCEPT_LISTS)


async def image_of_list(request: web.Request, stored: StoredManifest) -> Digest | None:
    """Return the digest of the image to send instead of a list; None: send the list.

    Only for a tag: content requested by digest must have that digest.
    """
    platform = settings(request).default_platform
    if not platform or stored.media_type not in media_types.INDEXES or ":" in request.match_info["reference"]:
        return None
    if not wants_image(request.headers):
        return None
    chosen = _chosen.get((stored.digest, platform))
    if chosen is None:
        async with document_slot(request, stored.content):
            chosen = (await offload_read(_image_for, stored.content, platform),)
        _chosen.put((stored.digest, platform), chosen)
    return chosen[0]


def _image_for(content: bytes, platform: str) -> Digest | None:
    system, _, architecture = platform.partition("/")
    try:
        for child in read_manifest(content).children:
            on = child.platform
            if on is not None and (on.os, on.architecture) == (system, architecture):
                return Digest(child.digest)
    except (ManifestInvalid, DigestInvalid):  # a foreign list
        pass
    return None
