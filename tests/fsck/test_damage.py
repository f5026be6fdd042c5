"""Every kind of damage: it is found, it is mended, the second run finds nothing, and nothing else is touched."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pyregistry.fsck.checking import Scope, check
from pyregistry.fsck.findings import KINDS, Kind
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver
from pyregistry.storage.inspecting import InspectableDriver
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.links import write_link
from pyregistry.storage.registry import Registry
from pyregistry.storage.rules import Rules
from tests.builders import image, index
from tests.fsck import trees
from tests.fsck.trees import (
    APP,
    ARM,
    LATEST,
    MULTI,
    NEW,
    OLD,
    SBOM,
    WIDE,
    blob_path,
    content_of,
    current,
    fill,
    findings,
    kinds,
    layer_link,
    repair_all,
)
from tests.storage.pushing import pull, push_image, repository

DAY = 86_400 * 10**9
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
    "a layer link with a newline": Case(tear(layer_link(b"new"), f"{Digest.of(b'new')}\n".encode()), ("torn-link",)),
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
    "a referrer that is not listed": Case(remove(layout.all_referrers(APP)), ("missing-referrer",)),
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


@pytest.mark.parametrize("case", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found_mended_and_then_gone(driver: InspectableDriver, registry: Registry, case: Case) -> None:
    fill(registry)
    before = content_of(driver)
    case.damage(driver)
    damaged = content_of(driver)
    assert kinds(driver) == sorted(case.found)
    assert content_of(driver) == damaged, "a check without --repair changed something"
    done = repair_all(driver)
    assert {kind for kind, mended in done if mended is None} <= set(case.left)
    assert kinds(driver) == sorted(case.left)
    after = content_of(driver)
    assert {path: after.get(path) for path in before | after if not any(each in path for each in case.changed)} == {
        path: before.get(path) for path in before | after if not any(each in path for each in case.changed)
    }


def test_every_kind_that_needs_no_file_system_has_a_case() -> None:
    found = {kind for case in DAMAGE.values() for kind in case.found}
    elsewhere = {
        "wrong-size",
        "unknown-manifest",
        "unreadable-blob",
        "no-start",
        "empty-upload",
        "not-usable",
        "unreadable",
    }
    assert found | elsewhere == {str(kind) for kind in Kind}
    assert set(KINDS) == set(Kind)


def test_a_sound_tree_has_no_findings(driver: InspectableDriver, registry: Registry) -> None:
    fill(registry)
    assert findings(driver) == []
    assert findings(driver, leave_young=-1.0) == []


def test_what_the_api_deletes_leaves_no_findings(driver: InspectableDriver, registry: Registry) -> None:
    fill(registry)
    app = repository(registry, APP)
    app.delete_tag(Tag("v1"))
    app.delete_manifest(Digest(OLD.digest))
    app.delete_manifest(Digest(SBOM.digest))
    app.delete_manifest(Digest(MULTI.digest))
    app.unlink_blob(Digest.of(b"without a manifest"))
    assert findings(driver) == []


def test_a_torn_tag_is_set_to_what_it_named_last(driver: InspectableDriver, registry: Registry) -> None:
    fill(registry)
    driver.write(current(), b"")
    driver.write(layout.tag_index_link(APP, LATEST, Digest(OLD.digest)), b"")  # written now, but not the newest
    driver.set_mtime(layout.tag_index_link(APP, LATEST, Digest(OLD.digest)), 1)
    repair_all(driver)
    assert repository(registry, APP).tagged(LATEST) == NEW.digest
    assert driver.read(layout.tag_index_link(APP, LATEST, Digest(OLD.digest))) == OLD.digest.encode()


def test_a_torn_tag_skips_what_was_deleted_since(driver: InspectableDriver, registry: Registry) -> None:
    fill(registry)
    app = repository(registry, APP)
    driver.delete(layout.revision(APP, Digest(NEW.digest)))
    driver.write(current(), b"")
    repair_all(driver)
    assert app.tagged(LATEST) == OLD.digest


def test_the_images_that_are_lost_are_named_by_their_tags_also_through_an_index(
    driver: InspectableDriver, registry: Registry
) -> None:
    fill(registry)
    driver.delete(layout.blob(Digest.of(b"new")))
    driver.delete(layout.blob(Digest.of(b"old")))
    lost = {image for finding in findings(driver) for image in finding.lost}
    assert lost == {"team/app:latest", "team/app:v1", "team/app:multi", f"team/app@{OLD.digest}"}


@pytest.mark.parametrize("what", ["layer", "manifest"])
def test_a_push_heals_what_was_quarantined(driver: InspectableDriver, registry: Registry, what: str) -> None:
    fill(registry)
    driver.write(blob_path(b"new") if what == "layer" else blob_path(NEW.content), b"not this")
    repair_all(driver)
    assert not pull_or_none(registry)
    assert len(list(driver.children(layout.QUARANTINE))) == 1
    app = repository(registry, APP)
    push_image(app, NEW, "latest", "v1")
    assert pull(app, NEW)
    assert findings(driver) == []


def pull_or_none(registry: Registry) -> bool:
    try:
        return pull(repository(registry, APP), NEW)
    except Exception:  # whatever a pull of a broken image says
        return False


def test_a_manifest_with_a_wrong_size_is_not_blamed_on_the_blob(driver: InspectableDriver, registry: Registry) -> None:
    app = repository(registry, APP)
    push_image(app, image(b"layer"), "latest")
    wrong = image(b"layer").content.replace(b'"size": 5', b'"size": 6')
    digest = Digest.of(wrong)
    driver.write(layout.blob_data(digest), wrong)
    write_link(driver, layout.revision_link(APP, digest), digest)
    assert repair_all(driver) == [("wrong-size", None)]
    assert driver.read(blob_path(b"layer")) == b"layer"


def test_a_document_of_another_time_is_told_and_left(driver: InspectableDriver, registry: Registry) -> None:
    push_image(repository(registry, APP), NEW, "latest")
    schema1 = b'{"schemaVersion": 1, "name": "team/app"}'
    driver.write(blob_path(schema1), schema1)
    write_link(driver, revision(schema1), Digest.of(schema1))
    assert repair_all(driver) == [("unknown-manifest", None)]


def test_an_upload_without_a_start_gets_that_of_its_last_byte(driver: InspectableDriver, registry: Registry) -> None:
    upload = repository(registry, APP).start_upload()
    driver.delete(layout.upload_started_at(APP, upload.id))
    assert findings(driver) == []  # it may be one that is just beginning
    driver.set_mtime(layout.upload_data(APP, upload.id), 1_700_000_000 * 10**9)
    assert repair_all(driver, leave_young=-1.0) == [("no-start", "written")]
    assert driver.read(layout.upload_started_at(APP, upload.id)) == b"2023-11-14T22:13:20Z"
    assert kinds(driver, leave_young=-1.0) == []


def test_an_empty_upload_is_removed(driver: InspectableDriver, registry: Registry) -> None:
    fill(registry)
    path = under(layout.uploads(APP), UPLOAD)
    driver.make_directory(path)
    assert repair_all(driver, leave_young=-1.0) == [("empty-upload", "removed")]
    assert UPLOAD not in list(driver.children(layout.uploads(APP)))


def test_sparse_images_are_sound_where_they_are_allowed(driver: InspectableDriver) -> None:
    rules = Rules(require_blobs=False, required_platforms=frozenset())
    registry = Registry(driver, rules)
    app = repository(registry, APP)
    sparse = index(image(b"elsewhere"))
    app.put_manifest(Tag("sparse"), sparse.content, sparse.media_type)
    lonely = image(b"elsewhere")
    app.put_manifest(Tag("lonely"), lonely.content, lonely.media_type)
    assert list(check(driver, Scope(rules))) == []
    assert trees.kinds(driver) == ["missing-blob"]
