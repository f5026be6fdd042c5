"""The links and references of a repository, read before it is marked, perhaps by another process."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from pyregistry.gc.references import UNREADABLE, DocumentDamaged, References, parse, read_references
from pyregistry.oci.digest import ALGORITHMS, Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import is_no_file, read_link
from pyregistry.storage.seams.objects import Objects, PathNotFound, Stat

AT_ONCE = 100_000
"""Most references sent between processes: about ten megabytes."""


class Documents(msgspec.Struct, array_like=True):
    """The revision links and tags of a repository, and the references of some manifests."""

    revisions: dict[str, Stat] = {}
    references: dict[str, References] = {}
    """Without unreadable manifests: marking finds the reason."""
    tags: dict[str, str | None] = {}
    """The digest that each tag names; None if its link cannot be read."""


Sent = tuple[bytes, dict[str, str | None]]
"""Documents as sent by another process; the tags apart, as a directory's name need not be UTF-8."""


def list_links(objects: Objects, name: RepositoryName, *, strict: bool) -> Documents:
    """Read the links alone; raises OSError, with `strict` also for a symbolic link in the list of tags."""
    revisions = dict(_revisions(objects, name))
    tags = objects.children(layout.tags(name), strict=strict)
    return Documents(revisions, {}, {tag: _named(objects, name, tag) for tag in tags})


def read_documents(objects: Objects, name: RepositoryName, *, strict: bool) -> Sent:
    """Read links and manifests, for `decode`; raises OSError. Of a very large repository not all manifests."""
    documents, count = list_links(objects, name, strict=strict), 0
    for digest in documents.revisions:
        if count > AT_ONCE:
            break
        with suppress(PathNotFound, DocumentDamaged):
            found = documents.references[digest] = read_references(objects, Digest(digest))
            count += len(found.blobs) + len(found.children)
    tags, documents.tags = documents.tags, {}
    return msgspec.msgpack.encode(documents), tags


def decode(sent: Sent) -> Documents:
    """Decode the result of `read_documents`."""
    documents = msgspec.msgpack.decode(sent[0], type=Documents)
    documents.tags = sent[1]
    return documents


def current_link(name: RepositoryName, tag: str) -> StoragePath:
    """Return the path of a tag's link; `tag` is a directory entry and need not be a valid tag."""
    return layout.child(layout.child(layout.child(layout.tags(name), tag), "current"), layout.LINK)


def _named(objects: Objects, name: RepositoryName, tag: str) -> str | None:
    digest, _ = try_link(objects, current_link(name, tag))
    return None if digest is None else str(digest)


def try_link(objects: Objects, path: StoragePath) -> tuple[Digest | None, str | None]:
    """Read a link file; return its digest, or the reason why it has none; neither if it does not exist.

    Raises OSError unless the error is that of the file.
    """
    try:
        digest = read_link(objects, path)
    except PathNotFound:
        return None, "is a broken symbolic link, or not a file" if is_no_file(objects, path) else None
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return None, f"cannot be read ({error.strerror})"
    return digest, "is torn" if digest is None else None


def _revisions(objects: Objects, name: RepositoryName) -> Iterator[tuple[str, Stat]]:
    revisions = layout.revisions(name)
    for algorithm in objects.children(revisions, strict=True):
        if algorithm not in ALGORITHMS:
            continue
        for encoded, stat in objects.scan(layout.child(revisions, algorithm), layout.LINK, strict=True):
            digest = parse(f"{algorithm}:{encoded}")
            if digest is not None and stat is not None:  # the CNCF registry leaves the directory of a deleted one
                yield digest, stat
