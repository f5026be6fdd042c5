"""Pushing into a repository without a server, and looking at what it has."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestUnknown
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.uploads import LocalUploads
from pyregistry.storage.repositories import removing
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.repositories.secrets import Secret
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Uploads
from tests.builders import Image
from tests.storage.paths import content_of


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """A request body."""
    for chunk in chunks:
        yield chunk


async def broken(*chunks: bytes, error: type[Exception] = ConnectionResetError) -> AsyncIterator[bytes]:
    """A request body that breaks off."""
    for chunk in chunks:
        yield chunk
    raise error


class Body:
    """A request body whose end the test decides."""

    def __init__(self, first: bytes) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun.set()
        yield self._first
        await self.end.wait()


def registry_on(
    driver: Driver,
    rules: Rules | None = None,
    uploads: Uploads | None = None,
    coordinator: Coordinator | None = None,
) -> Registry:
    """The registry on a driver; its uploads are files, and its coordinator has locks, unless others are given."""
    rules = rules or Rules()
    coordinator = coordinator or LocalCoordinator(driver)
    return Registry(driver, rules, uploads or LocalUploads(driver, rules.max_blob_size, coordinator), coordinator)


def secret_on(driver: Driver, path: StoragePath) -> Secret:
    """A secret on a driver."""
    return Secret(driver, path, LocalCoordinator(driver))


def remove_repository(driver: Driver, name: RepositoryName) -> bool:
    """Remove a repository as `pyregistry rm` does."""
    return removing.remove_repository(driver, LocalCoordinator(driver), name)


def remove_tag(driver: Driver, name: RepositoryName, tag: Tag) -> bool:
    """Remove a tag as `pyregistry rm` does."""
    return removing.remove_tag(driver, LocalCoordinator(driver), name, tag)


def repository(registry: Registry, name: str = "team/app") -> Repository:
    """A repository by its name."""
    return registry.repository(RepositoryName(name))


def push_blob(repo: Repository, content: bytes, algorithm: str = "sha256") -> Digest:
    """An upload in one request; for tests that have no event loop."""
    return push_blobs(repo, content, algorithm=algorithm)[0]


def push_blobs(repo: Repository, *contents: bytes, algorithm: str = "sha256") -> list[Digest]:
    """Push in one event loop: it takes as long to start and end as a push."""
    return _push_all(repo, [(content, algorithm) for content in contents])


def _push_all(repo: Repository, blobs: Iterable[tuple[bytes, str]]) -> list[Digest]:
    begun = [
        (repo.start_upload(algorithm), Digest.of(content, algorithm), content) for content, algorithm in blobs
    ]  # which blocks

    async def commit_all() -> None:
        for upload, digest, content in begun:
            await upload.commit(digest, stream(content))

    asyncio.run(commit_all())
    return [digest for _, digest, _ in begun]


def push_image(repo: Repository, image: Image, *tags: str) -> Digest:
    """Push all blobs, then the children and the manifest with its tags."""
    _push_all(repo, _blobs_of(image))
    return _put_manifests(repo, image, tags)


def _blobs_of(image: Image) -> Iterator[tuple[bytes, str]]:
    for blob in image.blobs:
        yield blob, image.algorithm
    for child in image.children:
        yield from _blobs_of(child)


def _put_manifests(repo: Repository, image: Image, tags: Sequence[str] = ()) -> Digest:
    for child in image.children:
        _put_manifests(repo, child)
    reference = Digest(image.digest)
    return repo.put_manifest(reference, image.content, image.media_type, [Tag(tag) for tag in tags]).digest


def tagged_images(repo: Repository) -> dict[str, str]:
    """Return the digest that each visible tag names."""
    return {str(tag): str(repo.tagged(tag)) for tag in repo.tags()}


def pull(repo: Repository, image: Image) -> bool:
    """Return True if the image is there with its own bytes, blobs and children."""
    try:
        stored = repo.manifest(Digest(image.digest))
    except ManifestUnknown:
        return False
    assert (stored.content, stored.media_type) == (image.content, image.media_type)
    for blob in image.blobs:
        assert content_of(repo.blob(Digest.of(blob, image.algorithm))) == blob
    return all(pull(repo, child) for child in image.children)


def files_of(driver: Driver, path: StoragePath | None = None) -> list[str]:
    """The paths of all files below a path; by default of all but the locks."""
    if path is None:
        tops = (
            layout.BLOBS,
            layout.REPOSITORIES,
            layout.child(layout.PRIVATE, "uploads"),
            layout.TMP,
            layout.trash(layout.PRIVATE),
        )
        return [file for top in tops for file in files_of(driver, top)]
    children = [layout.child(path, name) for name in driver.children(path)]
    return [
        file for child in children for file in ([str(child)] if driver.stat(child).is_file else files_of(driver, child))
    ]
