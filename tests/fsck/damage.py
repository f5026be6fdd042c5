"""Every kind of damage, as a table: how it comes about, what is found, and what a repair leaves."""

from collections.abc import Callable
from dataclasses import dataclass

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import write_link
from tests.fsck.trees import APP, ARM, LATEST, NEW, OLD, SBOM, WIDE, blob_path, current, layer_link

UPLOAD = "11111111-2222-4333-8444-555555555555"


@dataclass(frozen=True)
class Case:
    """A damage, what is found, what is left after a repair, and in which paths anything may differ afterwards."""

    damage: Callable[[Driver], None]
    found: tuple[str, ...]
    left: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def old(driver: Driver, path: StoragePath, content: bytes = b"x") -> None:
    driver.write(path, content)
    driver.set_mtime(path, 1_000_000_000 * 10**9)


def pad(path: StoragePath, around: bytes = b"%b\n") -> Callable[[Driver], None]:
    """White space around what a link says."""
    return lambda driver: driver.write(path, around % driver.read(path))


def tear(path: StoragePath, content: bytes = b"") -> Callable[[Driver], None]:
    return lambda driver: driver.write(path, content)


def remove(path: StoragePath) -> Callable[[Driver], None]:
    return lambda driver: driver.delete(path)


def revision(content: bytes) -> StoragePath:
    return layout.revision_link(APP, Digest.of(content))


def under(path: StoragePath, *names: str) -> StoragePath:
    for name in names:
        path = layout.child(path, name)
    return path


def hex_of(content: bytes) -> str:
    return Digest.of(content).encoded


def stale_referrer(driver: Driver) -> None:
    driver.write(layout.referrer(APP, Digest(OLD.digest), Digest(SBOM.digest)), b"{}")


def only_manifests(driver: Driver) -> None:
    write_link(driver, under(layout.REPOSITORIES, "half", "_manifests", "tags", "a", "current", "link"), Digest.of(b""))
    driver.delete(under(layout.REPOSITORIES, "half", "_manifests", "tags"))


def only_layers(driver: Driver) -> None:
    write_link(driver, under(layout.REPOSITORIES, "half", "_layers", "sha256", hex_of(b"base"), "link"), base())


def base() -> Digest:
    return Digest.of(b"base")


def unfinished_tag(driver: Driver) -> None:
    write_link(driver, layout.tag_index_link(APP, Tag("begun"), Digest(NEW.digest)), Digest(NEW.digest))


def torn_tag_without_manifest(driver: Driver) -> None:
    driver.write(layout.tag_current_link(APP, Tag("torn")), b"")


DAMAGE = {
    "an empty layer link": Case(tear(layer_link(b"new")), ("torn-link",)),
    "a layer link with half a digest": Case(tear(layer_link(b"new"), b"sha256:0123"), ("torn-link",)),
    "a layer link with a newline": Case(pad(layer_link(b"new")), ("padded-link",)),
    "a revision link with white space": Case(pad(revision(NEW.content), b" %b \r\n"), ("padded-link",)),
    "a link in a tag's index with a newline": Case(
        pad(layout.tag_index_link(APP, LATEST, Digest(OLD.digest))), ("padded-link",)
    ),
    "a tag with a newline": Case(pad(current()), ("padded-link",)),
    "a link with a newline to a sha512": Case(
        pad(layout.layer_link(APP, Digest.of(b"wide", "sha512"))), ("padded-link",)
    ),
    "a layer link that says another digest": Case(tear(layer_link(b"new"), base().encode()), ("torn-link",)),
    "an empty layer link for a sha512": Case(
        tear(layout.layer_link(APP, Digest.of(b"wide", "sha512"))), ("torn-link",)
    ),
    "an empty revision link": Case(tear(revision(NEW.content)), ("torn-link",)),
    "an empty link in a tag's index": Case(
        tear(layout.tag_index_link(APP, LATEST, Digest(OLD.digest))), ("torn-link",)
    ),
    "an empty tag": Case(tear(current()), ("torn-tag",)),
    "an empty tag that never named anything": Case(torn_tag_without_manifest, ("torn-tag",), changed=("tags/torn/",)),
    "a tag of a manifest that is not there": Case(
        tear(current("v1"), Digest.of(b"gone").encode()), ("dangling-tag",), changed=("tags/v1/",)
    ),
    "a tag that was begun": Case(unfinished_tag, ("unfinished-tag",), changed=("tags/begun/",)),
    "a layer link whose blob is not there": Case(
        remove(layout.blob(Digest.of(b"without a manifest"))),
        ("dangling-layer",),
        changed=(hex_of(b"without a manifest"),),
    ),
    "a manifest whose bytes are not there": Case(
        remove(layout.blob(Digest(OLD.digest))), ("missing-manifest",), changed=(hex_of(OLD.content),)
    ),
    "a tagged manifest whose bytes are not there": Case(
        remove(layout.blob(Digest(WIDE.digest))),
        ("dangling-tag", "missing-manifest"),
        changed=(Digest(WIDE.digest).encoded, "tags/wide/"),
    ),
    "a damaged manifest": Case(
        tear(blob_path(WIDE.content, "sha512"), WIDE.content.replace(b"2", b"3", 1)),
        ("damaged-manifest",),
        changed=(Digest(WIDE.digest).encoded, "tags/wide/"),
    ),
    "a child whose bytes are not there": Case(
        remove(layout.blob(Digest(ARM.digest))),
        ("missing-child", "missing-manifest"),
        left=("missing-child",),
        changed=(hex_of(ARM.content),),
    ),
    "a layer whose bytes are not there": Case(
        remove(layout.blob(Digest.of(b"old"))),
        ("dangling-layer", "missing-blob"),
        left=("missing-blob",),
        changed=(hex_of(b"old"),),
    ),
    "a layer that is not linked": Case(
        remove(layout.layer(APP, Digest.of(b"old"))),
        ("unlinked-blob",),
        left=("unlinked-blob",),
        changed=(hex_of(b"old"),),
    ),
    "an empty blob": Case(
        tear(blob_path(b"old")),
        ("empty-blob", "missing-blob"),
        left=("missing-blob",),
        changed=(hex_of(b"old"),),
    ),
    "a blob that was cut off": Case(
        tear(blob_path(b"old"), b"ol"), ("corrupt-blob",), left=("missing-blob",), changed=(hex_of(b"old"),)
    ),
    "a blob's directory without a file": Case(
        lambda driver: driver.make_directory(layout.blob(Digest.of(b"never came"))), ("no-data",)
    ),
    "a repository without layers": Case(only_manifests, ("no-layers",)),
    "a repository without manifests": Case(only_layers, ("no-manifests",), changed=("half/",)),
    "a referrer that is not listed": Case(
        remove(layout.referrer(APP, Digest(NEW.digest), Digest(SBOM.digest))), ("missing-referrer",)
    ),
    "a referrer that another registry took": Case(remove(layout.all_referrers(APP)), ("unlisted-referrer",)),
    "a referrer whose entry is torn": Case(
        tear(layout.referrer(APP, Digest(NEW.digest), Digest(SBOM.digest)), b'{"dig'), ("missing-referrer",)
    ),
    "a listed referrer that is none": Case(
        stale_referrer, ("stale-referrer",), changed=(f"_referrers/sha256/{hex_of(OLD.content)}",)
    ),
    "a temporary file of the CNCF registry": Case(
        lambda driver: old(driver, under(layout.layer(APP, base()), f"link.{UPLOAD}.tmp")),
        ("temporary",),
        changed=(".tmp",),
    ),
    "a temporary file of ours": Case(lambda driver: old(driver, under(layout.TMP, "0123")), ("temporary",)),
    "a note about an upload that ended": Case(
        lambda driver: old(driver, under(layout.UPLOAD_RECORDS, UPLOAD)), ("old-record",)
    ),
    "a file that is not ours": Case(
        lambda driver: driver.write(under(layout.repository(APP), "notes.txt"), b"x"),
        ("foreign",),
        left=("foreign",),
        changed=("notes.txt",),
    ),
    "a file between the blobs": Case(
        lambda driver: driver.write(under(layout.BLOBS, "sha256", "aa", "bb", "data"), b"x"),
        ("foreign",),
        left=("foreign",),
        changed=("sha256/aa/bb",),
    ),
    "a repository that no client can name": Case(
        lambda driver: driver.make_directory(under(layout.REPOSITORIES, "BIG", "_manifests")),
        ("bad-name",),
        left=("bad-name",),
    ),
}
