"""Blobs and manifests of a repository: what handlers see."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
)
from pyregistry.oci.names import Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.rules import Rules
from tests.builders import DOCKER_LIST, LAYER, OCI_INDEX, OCI_MANIFEST, Image, descriptor, digest_of, image, index
from tests.oci.documents import encoded, image_document, index_document
from tests.storage.counting import AskedDriver
from tests.storage.paths import content_of
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository, tagged_images

CONTENT = b"content"
DIGEST = Digest.of(CONTENT)
SHA512 = Digest.of(CONTENT, "sha512")
IMAGE = image()


@pytest.fixture
def repo(registry: Registry) -> Repository:
    return repository(registry)


def assert_unknown(repo: Repository, digest: Digest) -> None:
    with pytest.raises(BlobUnknown):
        repo.blob(digest)


def test_a_blob_is_in_the_repository_that_it_was_pushed_to_and_in_no_other(
    repo: Repository, registry: Registry
) -> None:
    push_blob(repo, CONTENT)
    assert content_of(repo.blob(DIGEST)) == CONTENT
    assert_unknown(repository(registry, "team"), DIGEST)
    assert_unknown(repository(registry, "team/app/nested"), DIGEST)


def test_a_link_without_data_is_no_blob(repo: Repository, driver: Driver) -> None:
    push_blob(repo, CONTENT)
    driver.delete(layout.blob_data(DIGEST))
    assert_unknown(repo, DIGEST)


def test_data_without_a_link_is_no_blob(repo: Repository, driver: Driver) -> None:
    driver.write(layout.blob_data(DIGEST), CONTENT)
    assert_unknown(repo, DIGEST)


@pytest.mark.parametrize("digest", [DIGEST, SHA512])
def test_data_of_size_0_is_no_blob(repo: Repository, driver: Driver, digest: Digest) -> None:
    push_blob(repo, CONTENT, digest.algorithm)
    driver.write(layout.blob_data(digest), b"")
    assert_unknown(repo, digest)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_data_of_size_0_is_the_blob_of_no_bytes(repo: Repository, algorithm: str) -> None:
    assert repo.blob(push_blob(repo, b"", algorithm)).size == 0


TORN = [b"", b"\0" * 71, str(DIGEST).encode()[:40], b"junk", b"\xff\xfe", b"sha256:", b"\n"]


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_link_counts_as_what_its_path_says(repo: Repository, driver: Driver, torn: bytes) -> None:
    push_blob(repo, CONTENT)
    driver.write(layout.layer_link(repo.name, DIGEST), torn)
    assert content_of(repo.blob(DIGEST)) == CONTENT


@pytest.mark.parametrize("link", [b"%s\n", b" %s ", b"%s"])
def test_white_space_around_a_link_does_no_harm(repo: Repository, driver: Driver, link: bytes) -> None:
    push_blob(repo, CONTENT)
    driver.write(layout.layer_link(repo.name, DIGEST), link % str(DIGEST).encode())
    assert content_of(repo.blob(DIGEST)) == CONTENT


@pytest.fixture
def cncf_sha512(repo: Repository, driver: Driver) -> Repository:
    """A repository in which the CNCF registry stored a blob under sha512: the link names its sha256."""
    driver.write(layout.blob_data(DIGEST), CONTENT)
    driver.write(layout.layer_link(repo.name, SHA512), str(DIGEST).encode())
    return repo


def test_a_link_may_name_another_digest_as_the_cncf_registry_writes_for_sha512(cncf_sha512: Repository) -> None:
    assert content_of(cncf_sha512.blob(SHA512)) == CONTENT
    assert_unknown(cncf_sha512, DIGEST)


def test_a_blob_whose_link_names_another_digest_can_be_mounted(cncf_sha512: Repository, registry: Registry) -> None:
    target = repository(registry, "other")
    target.mount_blob(SHA512, cncf_sha512)
    assert content_of(target.blob(SHA512)) == CONTENT


def test_a_mounted_blob_is_in_both_repositories(repo: Repository, registry: Registry) -> None:
    push_blob(repo, CONTENT)
    target = repository(registry, "other")
    target.mount_blob(DIGEST, repo)
    assert content_of(target.blob(DIGEST)) == content_of(repo.blob(DIGEST)) == CONTENT


def test_what_is_not_there_is_not_mounted(repo: Repository, registry: Registry) -> None:
    target = repository(registry, "other")
    with pytest.raises(BlobUnknown):
        target.mount_blob(DIGEST, repo)
    assert_unknown(target, DIGEST)


def test_an_unlinked_blob_is_gone_in_this_repository_only(repo: Repository, registry: Registry) -> None:
    other = repository(registry, "other")
    for each in (repo, other):
        push_blob(each, CONTENT)
    repo.unlink_blob(DIGEST)
    assert_unknown(repo, DIGEST)
    assert content_of(other.blob(DIGEST)) == CONTENT
    with pytest.raises(BlobUnknown):
        repo.unlink_blob(DIGEST)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("tags", [[], ["v1"], ["v1", "v2", "latest"]])
def test_a_pushed_image_is_pulled_by_digest_and_by_each_of_its_tags(
    repo: Repository, tags: list[str], algorithm: str
) -> None:
    pushed = image(algorithm=algorithm)
    digest = push_image(repo, pushed, *tags)
    assert digest == pushed.digest
    assert pull(repo, pushed)
    assert tagged_images(repo) == dict.fromkeys(tags, pushed.digest)
    assert all(repo.manifest(Tag(tag)).content == pushed.content for tag in tags)


def test_an_index_is_pulled_with_its_images(repo: Repository) -> None:
    push_image(repo, index(image(b"a"), image(b"b")), "v1")
    assert repo.manifest(Tag("v1")).media_type == OCI_INDEX
    assert pull(repo, index(image(b"a"), image(b"b")))


def test_a_pushed_manifest_says_its_subject(repo: Repository) -> None:
    push_image(repo, IMAGE)
    signature = image(b"signature", subject=IMAGE.descriptor())
    for blob in signature.blobs:
        push_blob(repo, blob)
    assert repo.put_manifest(Tag("x"), signature.content, None).subject == IMAGE.digest
    assert repo.put_manifest(Tag("y"), IMAGE.content, None).subject is None


def test_a_manifest_under_the_digest_of_another_is_refused(repo: Repository) -> None:
    with pytest.raises(DigestInvalid):
        repo.put_manifest(DIGEST, IMAGE.content, OCI_MANIFEST)


@pytest.mark.parametrize("missing", [IMAGE.blobs[:1], IMAGE.blobs[1:2], IMAGE.blobs])
def test_a_manifest_without_its_blobs_is_refused_and_they_are_named(
    repo: Repository, missing: tuple[bytes, ...]
) -> None:
    for blob in set(IMAGE.blobs) - set(missing):
        push_blob(repo, blob)
    with pytest.raises(ManifestBlobUnknown) as refused:
        repo.put_manifest(Tag("v1"), IMAGE.content, OCI_MANIFEST)
    assert set(refused.value.missing) == {Digest.of(blob) for blob in missing}
    assert tagged_images(repo) == {}
    with pytest.raises(ManifestUnknown):
        repo.manifest(Digest(IMAGE.digest))


def test_blobs_of_another_repository_do_not_count(repo: Repository, registry: Registry) -> None:
    push_image(repository(registry, "other"), IMAGE)
    with pytest.raises(ManifestBlobUnknown):
        repo.put_manifest(Tag("v1"), IMAGE.content, OCI_MANIFEST)


def test_an_index_without_its_images_is_refused(repo: Repository) -> None:
    with pytest.raises(ManifestBlobUnknown) as refused:
        repo.put_manifest(Tag("v1"), index(IMAGE).content, OCI_INDEX)
    assert refused.value.missing == (IMAGE.digest,)


def test_an_index_that_says_another_size_of_an_image_is_taken(repo: Repository) -> None:
    push_image(repo, IMAGE)
    wrong = index(IMAGE).content.replace(b'"size": %d' % len(IMAGE.content), b'"size": %d' % (len(IMAGE.content) + 7))
    assert wrong != index(IMAGE).content
    repo.put_manifest(Digest.of(wrong), wrong, OCI_INDEX)
    assert repo.manifest(Digest.of(wrong)).content == wrong


def test_an_image_that_head_denies_is_missing_for_an_index_as_well(repo: Repository, driver: Driver) -> None:
    push_image(repo, IMAGE)
    driver.write(layout.blob_data(Digest(IMAGE.digest)), b"")  # as a crash of another server leaves it
    with pytest.raises(ManifestUnknown):
        repo.manifest_with_lease(Digest(IMAGE.digest))
    with pytest.raises(ManifestBlobUnknown):
        repo.put_manifest(Digest(index(IMAGE).digest), index(IMAGE).content, OCI_INDEX)


def test_what_was_pushed_can_be_pulled_under_a_lower_limit(driver: Driver) -> None:
    push_image(repository(registry_on(driver)), IMAGE, "latest")
    lowered = repository(registry_on(driver, Rules(max_manifest_size=len(IMAGE.content) - 1)))
    assert pull(lowered, IMAGE)
    assert lowered.manifest(Tag("latest")).content == IMAGE.content


def test_an_index_may_name_blobs_as_the_cache_of_buildkit_does(repo: Repository) -> None:
    push_blob(repo, CONTENT)
    cache = index(Image(CONTENT, "application/vnd.oci.image.layer.v1.tar+gzip"))
    repo.put_manifest(Tag("cache"), cache.content, OCI_INDEX)
    assert repo.manifest(Tag("cache")).content == cache.content


def test_a_blob_of_another_size_than_the_manifest_says_is_taken(repo: Repository) -> None:
    document = image_document()
    for blob in (b"{}", b"one", b"two"):
        push_blob(repo, blob)
    document["layers"][0]["size"] = 4
    del document["layers"][1]["size"]
    repo.put_manifest(Tag("v1"), encoded(document), OCI_MANIFEST)
    assert repo.manifest(Tag("v1")).content == encoded(document)


@pytest.mark.parametrize("kind", ["layers", "manifests"])
@pytest.mark.parametrize("is_here", [True, False])
def test_what_a_manifest_names_often_is_looked_at_once(root: Path, kind: str, is_here: bool) -> None:
    driver = AskedDriver(root)
    repo = repository(registry_on(driver))
    push_image(repo, IMAGE)
    named = IMAGE.descriptor() if kind == "manifests" else descriptor(IMAGE.blobs[1], LAYER)
    if not is_here:
        named["digest"] = digest_of(b"not here")
    asked = []
    for times in (1, 1_000):
        document = (index_document() if kind == "manifests" else image_document()) | {kind: [named] * times}
        driver.asked.clear()
        with nullcontext() if is_here else pytest.raises(ManifestBlobUnknown) as refused:
            repo.put_manifest(Tag(f"v{times}"), encoded(document), document["mediaType"])
        assert refused is None or refused.value.missing == (named["digest"],)
        asked.append(len(driver.asked))
    assert asked[0] == asked[1]


SPARSE = [(Rules(require_blobs=False), IMAGE), (Rules(required_platforms=frozenset()), index(IMAGE))]


@pytest.mark.parametrize(("rules", "pushed"), SPARSE, ids=["an image", "an index"])
def test_with_another_rule_what_a_manifest_names_need_not_be_here(driver: Driver, rules: Rules, pushed: Image) -> None:
    sparse = repository(registry_on(driver, rules))
    sparse.put_manifest(Tag("v1"), pushed.content, pushed.media_type)
    assert sparse.manifest(Tag("v1")).content == pushed.content


def test_layers_that_clients_fetch_elsewhere_need_not_be_here(repo: Repository) -> None:
    document = image_document()
    push_blob(repo, b"{}")
    push_blob(repo, b"two")
    document["layers"][0]["urls"] = ["https://example.com/layer"]
    repo.put_manifest(Tag("v1"), encoded(document), OCI_MANIFEST)


def test_a_manifest_has_the_largest_size_that_is_allowed_and_no_more(driver: Driver) -> None:
    size = len(IMAGE.content)
    exact, less = (repository(registry_on(driver, Rules(max_manifest_size=limit))) for limit in (size, size - 1))
    push_image(exact, IMAGE, "v1")
    assert pull(exact, IMAGE)
    with pytest.raises(ManifestTooLarge):
        less.put_manifest(Tag("v1"), IMAGE.content, OCI_MANIFEST)


DAMAGE = {
    "another content": b"{}",
    "nothing": b"",
    "a changed bit": IMAGE.content.replace(b"l", b"m", 1),
    "more behind": IMAGE.content + b" ",
    "less": IMAGE.content[:-1],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_manifest_that_is_damaged_on_disk_is_unknown_until_it_is_pushed_again(
    repo: Repository, driver: Driver, damage: bytes
) -> None:
    push_image(repo, IMAGE, "v1")
    driver.write(layout.blob_data(Digest(IMAGE.digest)), damage)
    for reference in (Tag("v1"), Digest(IMAGE.digest)):
        with pytest.raises(ManifestUnknown):
            repo.manifest(reference)
    push_image(repo, IMAGE)
    assert pull(repo, IMAGE)


SCHEMA1 = b'{"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []}'
FOREIGN = {"a schema 1 image": SCHEMA1, "no manifest": b"junk", "a list": b"[]"}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_in_a_tree_of_another_registry_it_is_unknown(repo: Repository, driver: Driver, content: bytes) -> None:
    digest = Digest.of(content)
    driver.write(layout.blob_data(digest), content)
    driver.write(layout.revision_link(repo.name, digest), str(digest).encode())
    with pytest.raises(ManifestUnknown):
        repo.manifest(digest)


@pytest.mark.parametrize("torn", TORN)
def test_a_manifest_whose_revision_link_is_torn_is_there(repo: Repository, driver: Driver, torn: bytes) -> None:
    push_image(repo, IMAGE)
    driver.write(layout.revision_link(repo.name, Digest(IMAGE.digest)), torn)
    assert pull(repo, IMAGE)


def test_the_type_of_a_docker_list_comes_back(repo: Repository) -> None:
    listed = index(mediaType=DOCKER_LIST)
    repo.put_manifest(Tag("v1"), listed.content, DOCKER_LIST)
    assert repo.manifest(Tag("v1")).media_type == DOCKER_LIST


def test_a_repository_exists_as_soon_as_something_was_pushed_to_it(repo: Repository) -> None:
    with pytest.raises(NameUnknown):
        repo.require()
    assert not repo.exists()
    push_blob(repo, CONTENT)
    repo.require()
    assert repo.exists()
    assert repo.is_empty()
