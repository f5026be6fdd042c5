"""A tree with something of everything, and ways to look at it."""

from collections.abc import Callable, Generator, Iterator

from pyregistry.fsck import checking, hashing, repairing, scrubbing
from pyregistry.fsck.findings import Finding
from pyregistry.fsck.hashing import Limit, unlimited
from pyregistry.fsck.scope import CheckScope
from pyregistry.fsck.scrubbing import Coverage
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.rules import Rules
from tests.builders import artifact, image, index
from tests.storage.pushing import files_of, push_blob, push_image, repository

APP = RepositoryName("team/app")
OLD = image(b"base", b"old")
NEW = image(b"base", b"new")
ARM = image(b"arm")
MULTI = index(NEW, ARM)
SBOM = artifact(NEW)
WIDE = image(b"wide", config=b'{"wide": 1}', algorithm="sha512")
LATEST = Tag("latest")


def fill(registry: Registry) -> None:
    """Two repositories that share a layer, a tag that moved, an index, an artifact, sha512, an open upload."""
    app = repository(registry, APP)
    push_image(app, OLD, "latest")
    push_image(app, NEW, "latest", "v1")
    push_image(app, MULTI, "multi")
    push_image(app, SBOM)
    push_image(app, WIDE, "wide")
    push_image(repository(registry, "other"), image(b"base"), "latest")
    push_blob(app, b"without a manifest")
    app.start_upload()


def check(driver: Driver, scope: CheckScope) -> Iterator[Finding]:
    """A check of a driver, in the quiet moments of a directory."""
    return checking.check(driver, LocalCoordinator(driver), scope)


def repair(driver: Driver, finding: Finding) -> str | None:
    """A repair, in the same way."""
    return repairing.repair(driver, LocalCoordinator(driver), finding)


def scrub(
    driver: Driver, progress: Coverage, advance: Callable[[int], None], limit: Limit = unlimited
) -> Generator[Finding]:
    """A scrub, in the same way."""
    return scrubbing.scrub(driver, LocalCoordinator(driver), progress, advance, limit)


def quarantine_if_damaged(driver: Driver, digest: Digest) -> bool:
    """A look at one blob, in the same way."""
    return hashing.quarantine_if_damaged(driver, LocalCoordinator(driver), digest)


def findings(driver: Driver, **scope: object) -> list[Finding]:
    """Return the findings of a check without repair."""
    return list(check(driver, CheckScope(Rules(), **scope)))  # type: ignore[arg-type] # the caller knows them


def kinds(driver: Driver, **scope: object) -> list[str]:
    """The kinds of what a check finds, each once, in the order of the alphabet."""
    return sorted({str(finding.kind) for finding in findings(driver, **scope)})


def repair_all(driver: Driver, **scope: object) -> list[tuple[str, str | None]]:
    """The findings, and what was done about them."""
    scoped = CheckScope(Rules(), **scope)  # type: ignore[arg-type] # the caller knows them
    return [(str(finding.kind), repair(driver, finding)) for finding in check(driver, scoped)]


def content_of(driver: Driver) -> dict[str, bytes]:
    """Every file of the tree but the trash."""
    return {path: driver.read(StoragePath(path)) for path in files_of(driver, layout.TREE)}


def blob_path(content: bytes, algorithm: str = "sha256") -> StoragePath:
    """The path of its bytes."""
    return layout.blob_data(Digest.of(content, algorithm))


def layer_link(content: bytes) -> StoragePath:
    """Its link in team/app."""
    return layout.layer_link(APP, Digest.of(content))


def current(tag: str = "latest") -> StoragePath:
    """The digest that a tag of team/app names."""
    return layout.tag_current_link(APP, Tag(tag))
