"""The content that a run keeps, and that it removes."""

import json

import pytest

from pyregistry.gc.types import MarkFailed, SafetyCheckFailed
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.referrer_pages import Wanted
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from tests.builders import artifact, digest_of, image, index
from tests.gc.collecting import age, blobs, exists, gc, has_blob, remove_repository, remove_tag
from tests.storage.pushing import files_of, pull, push_blob, push_image, repository

pytestmark = [
    pytest.mark.usefixtures("processes"),
    # Idle threads of other tests' event loops; a command has none when it begins.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def test_nothing_goes_while_everything_is_tagged(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry), image(), "latest")
    before = files_of(driver)
    report = gc(driver, delete_untagged=True)
    assert files_of(driver) == before
    assert (report.blobs, report.blobs_marked, report.blobs_removed, report.skipped) == (4, 4, 0, [])


def test_a_removed_repository_is_freed_at_once_and_shared_blobs_stay(driver: Driver, registry: Registry) -> None:
    kept, removed = image(b"base", b"app"), image(b"base", b"nginx")
    push_image(repository(registry, "app"), kept, "latest")
    push_image(repository(registry, "nginx"), removed, "latest")
    remove_repository(driver, "nginx")
    report = gc(driver)
    assert not has_blob(driver, b"nginx")
    assert (report.blobs_removed, report.bytes_freed) == (2, len(b"nginx") + len(removed.content))
    assert pull(repository(registry, "app"), kept)
    push_image(repository(registry, "nginx"), removed, "latest")
    assert pull(repository(registry, "nginx"), removed)


def test_a_deleted_manifest_is_freed_at_once_with_its_layer_links(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"old"), "old")
    push_image(repo, image(b"new"), "new")
    repo.delete_manifest(Digest(image(b"old").digest))
    report = gc(driver)
    assert not has_blob(driver, b"old")
    assert not exists(driver, layout.layer_link(repo.name, Digest.of(b"old")))
    assert (report.links_removed, report.blobs_removed) == (1, 2)
    assert pull(repo, image(b"new"))


def test_an_untagged_manifest_stays_unless_told_otherwise(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"moved away"), "latest")
    push_image(repo, image(b"here"), "latest")
    gc(driver)
    assert pull(repo, image(b"moved away"))
    report = gc(driver, delete_untagged=True)
    assert report.manifests_removed == 1
    assert blobs(driver) == {digest_of(b"here"), digest_of(b"{}"), image(b"here").digest}
    assert pull(repo, image(b"here"))


def test_the_children_of_an_index_at_any_depth_live_as_long_as_its_tag(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    nested = index(index(image(b"amd64"), image(b"arm64")), image(b"s390x"))
    push_image(repo, nested, "multi")
    gc(driver, delete_untagged=True, grace=0)
    assert pull(repo, nested)
    remove_tag(repo, "multi")
    report = gc(driver, delete_untagged=True, grace=0)
    assert report.manifests_removed == 5
    assert blobs(driver) == set()


def test_a_child_that_two_indexes_have_lives_with_either(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    shared = image(b"shared")
    push_image(repo, index(shared, image(b"one")), "one")
    push_image(repo, index(shared, image(b"two")), "two")
    remove_tag(repo, "one")
    gc(driver, delete_untagged=True, grace=0)
    assert pull(repo, index(shared, image(b"two")))
    assert not has_blob(driver, b"one")


def test_referrers_live_as_long_as_their_subject_to_any_depth(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    child = image(b"amd64")
    push_image(repo, index(child), "multi")
    signature = artifact(child, "application/vnd.test.signature")
    attestation = artifact(signature, "application/vnd.test.attestation")
    last = artifact(attestation, "application/vnd.test.last")
    for each in (signature, attestation, last):
        push_image(repo, each)
    gc(driver, delete_untagged=True, grace=0)
    assert all(pull(repo, each) for each in (index(child), signature, attestation, last))
    remove_tag(repo, "multi")
    assert gc(driver, delete_untagged=True, grace=0).manifests_removed == 5
    assert blobs(driver) == set()
    assert repo.referrers(Digest(child.digest), Wanted()).descriptors == []
    assert not exists(driver, layout.repository(repo.name))


def test_a_blob_that_another_repository_calls_a_manifest_keeps_what_it_refers_to(
    driver: Driver, registry: Registry
) -> None:
    # One digest is a plain blob here and an untagged child of a tagged index there.
    child = image(b"layer of the child")
    push_blob(repository(registry, "a"), child.content)
    push_image(repository(registry, "a"), image(child.content), "blob")
    push_image(repository(registry, "b"), index(child), "multi")
    gc(driver, delete_untagged=True, grace=0)
    assert pull(repository(registry, "b"), index(child))


def test_of_a_document_that_is_not_understood_every_digest_is_kept(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"known"), "known")
    for content in (b"first", b"second"):
        age(driver, layout.layer_link(repo.name, push_blob(repo, content)))
    strange = json.dumps({"schemaVersion": 7, "parts": [digest_of(b"first"), {"x": digest_of(b"second")}]}).encode()
    driver.write(layout.blob_data(Digest.of(strange)), strange)
    driver.write(layout.revision_link(repo.name, Digest.of(strange)), Digest.of(strange).encode())
    gc(driver)
    assert has_blob(driver, b"first")
    assert has_blob(driver, b"second")


def test_what_sha512_names_in_a_tree_of_the_cncf_registry_stays(driver: Driver, registry: Registry) -> None:
    # It stores the bytes under their sha256, and its link for the sha512 says so.
    repo = repository(registry)
    content = b"a layer"
    push_image(repo, image(b"other"), "other")
    driver.write(layout.blob_data(Digest.of(content)), content)
    driver.write(layout.layer_link(repo.name, Digest.of(content, "sha512")), Digest.of(content).encode())
    pushed = image(content, algorithm="sha512")
    push_blob(repo, b"{}", "sha512")
    repo.put_manifest(Tag("latest"), pushed.content, pushed.media_type)
    gc(driver, delete_untagged=True, grace=0)
    assert has_blob(driver, content)
    repo.delete_tag(Tag("latest"))
    gc(driver, delete_untagged=True, grace=0)
    assert not has_blob(driver, content)


def test_emptied_repositories_go_with_their_namespaces(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, "team/a/b"), image(b"x"), "latest")
    push_image(repository(registry, "team/a"), image(b"y"), "latest")
    push_image(repository(registry, "other"), image(b"z"), "latest")
    repository(registry, "team/a/b").delete_manifest(Digest(image(b"x").digest))
    assert gc(driver).repositories_removed == 1
    assert not exists(driver, layout.repository(RepositoryName("team/a/b")))
    repository(registry, "team/a").delete_manifest(Digest(image(b"y").digest))
    gc(driver)
    assert list(driver.children(layout.REPOSITORIES)) == ["other"]


def test_an_open_upload_keeps_its_repository(driver: Driver, registry: Registry) -> None:
    upload = repository(registry, "new").start_upload()
    gc(driver, grace=0)
    assert upload.offset() == 0


@pytest.mark.parametrize("link", [b"", b"sha256:torn", b"\xff\n"])
def test_torn_links_are_no_obstacle(driver: Driver, registry: Registry, link: bytes) -> None:
    repo = repository(registry)
    tagged, untagged = image(b"tagged"), image(b"untagged")
    push_image(repo, untagged, "torn")
    push_image(repo, tagged, "latest")
    driver.write(layout.layer_link(repo.name, Digest.of(b"tagged")), link)
    driver.write(layout.revision_link(repo.name, Digest(tagged.digest)), link)
    driver.write(layout.tag_current_link(repo.name, Tag("torn")), link)
    report = gc(driver, delete_untagged=True, grace=0)
    assert pull(repo, tagged)
    assert pull(repo, untagged)  # all that a torn tag ever named is kept
    assert len(report.skipped) == 1


def test_a_link_to_a_blob_that_is_not_there_goes(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(), "latest")
    link = layout.layer_link(repo.name, Digest.of(b"nowhere"))
    driver.write(link, Digest.of(b"nowhere").encode())
    age(driver, link)
    assert gc(driver).links_removed == 1
    assert not exists(driver, link)


def test_without_the_repositories_nothing_is_removed(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry), image(), "latest")
    driver.delete(layout.REPOSITORIES)
    before = files_of(driver)
    with pytest.raises(SafetyCheckFailed, match="4 blobs"):
        gc(driver)
    assert files_of(driver) == before
    driver.make_directory(layout.REPOSITORIES)  # all of them removed on purpose
    assert gc(driver).blobs_removed == 4


def test_a_repository_with_a_name_that_no_client_can_say_ends_the_run(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry), image(), "latest")
    odd = layout.child(layout.REPOSITORIES, "Backup")
    driver.make_directory(layout.child(odd, "_manifests"))
    with pytest.raises(MarkFailed, match="Backup"):
        gc(driver)


def test_a_dry_run_says_the_same_and_changes_nothing(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, image(b"old"), "latest")
    push_image(repo, image(b"new"), "latest")
    push_image(repository(registry, "gone"), image(b"gone"), "latest")
    remove_repository(driver, "gone")
    before = files_of(driver)
    planned = gc(driver, delete_untagged=True, dry_run=True)
    assert files_of(driver) == before
    done = gc(driver, delete_untagged=True)
    for report in (planned, done):
        report.seconds, report.dry_run = 0, False
    assert planned == done
