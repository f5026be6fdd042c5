"""Referrers: those of our index, and those that clients listed under a tag of their own."""

import msgspec
import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.document import Descriptor
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.referrer_pages import Wanted
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from tests.builders import IMAGE_CONFIG, OCI_INDEX, OCI_MANIFEST, Image, artifact, image, index
from tests.storage.pushing import push_image, repository

SUBJECT = image(b"subject")
SIGNATURE = artifact(SUBJECT, "application/vnd.test.signature", annotations={"a": "b"})
SBOM = artifact(SUBJECT, "application/vnd.test.sbom")


@pytest.fixture
def repo(registry: Registry) -> Repository:
    return repository(registry)


def referrers(repo: Repository, subject: Image = SUBJECT) -> list[str]:
    return [descriptor.digest for descriptor in descriptors(repo, subject)]


def descriptors(repo: Repository, subject: Image = SUBJECT, wanted: Wanted = Wanted()) -> list[Descriptor]:  # noqa: B008 - frozen
    page = repo.referrers(Digest(subject.digest), wanted)
    return [msgspec.json.decode(encoded, type=Descriptor) for encoded in page.descriptors]


def test_an_image_that_nothing_refers_to_has_no_referrers(repo: Repository) -> None:
    push_image(repo, SUBJECT)
    assert referrers(repo) == []


def test_referrers_come_in_the_order_of_their_digests(repo: Repository) -> None:
    push_image(repo, SUBJECT)
    pushed = [artifact(SUBJECT, f"application/vnd.test.n{number}") for number in range(8)]
    for each in pushed:
        push_image(repo, each)
    assert referrers(repo) == sorted(each.digest for each in pushed)


def test_the_subject_need_not_be_here(repo: Repository) -> None:
    push_image(repo, SIGNATURE)
    assert referrers(repo) == [SIGNATURE.digest]


def test_a_descriptor_has_type_size_artifact_type_and_annotations_of_the_referrer(repo: Repository) -> None:
    push_image(repo, SIGNATURE)
    [found] = descriptors(repo)
    assert (found.media_type, found.size) == (OCI_MANIFEST, len(SIGNATURE.content))
    assert (found.artifact_type, found.annotations) == ("application/vnd.test.signature", {"a": "b"})


def test_an_image_as_referrer_has_the_type_of_its_config(repo: Repository) -> None:
    push_image(repo, image(b"x", subject=SUBJECT.descriptor()))
    assert [found.artifact_type for found in descriptors(repo)] == [IMAGE_CONFIG]


def test_an_index_may_be_a_referrer(repo: Repository) -> None:
    pushed = index(subject=SUBJECT.descriptor(), artifactType="application/vnd.test.list")
    push_image(repo, pushed)
    [found] = descriptors(repo)
    assert (found.digest, found.media_type) == (pushed.digest, OCI_INDEX)
    assert found.artifact_type == "application/vnd.test.list"


def test_referrers_are_those_of_one_repository(repo: Repository, registry: Registry) -> None:
    push_image(repo, SIGNATURE)
    assert referrers(repository(registry, "other")) == []


def test_a_deleted_referrer_is_gone_and_comes_back_when_it_is_pushed_again(repo: Repository) -> None:
    push_image(repo, SIGNATURE)
    push_image(repo, SBOM)
    repo.delete_manifest(Digest(SIGNATURE.digest))
    assert referrers(repo) == [SBOM.digest]
    push_image(repo, SIGNATURE)
    assert referrers(repo) == sorted([SBOM.digest, SIGNATURE.digest])


def test_a_referrer_that_another_registry_deleted_is_gone(repo: Repository, driver: Driver) -> None:
    push_image(repo, SIGNATURE)
    driver.delete(layout.revision_link(repo.name, Digest(SIGNATURE.digest)))
    assert referrers(repo) == []


@pytest.mark.parametrize("torn", [b"", b"{", b"\xff", b'{"digest":"\xff","size":1}', b"[]"])
def test_a_torn_entry_of_the_index_is_left_out(repo: Repository, driver: Driver, torn: bytes) -> None:
    push_image(repo, SIGNATURE)
    push_image(repo, SBOM)
    path = layout.referrer(repo.name, Digest(SUBJECT.digest), Digest(SIGNATURE.digest))
    driver.write(path, torn)
    assert referrers(repo) == [SBOM.digest]


def fallback_tag(subject: Image) -> str:
    algorithm, _, encoded = subject.digest.partition(":")
    return f"{algorithm}-{encoded[:64]}"


def push_without_index(repo: Repository, driver: Driver, pushed: Image) -> None:
    """As a registry without a referrers API stores it."""
    push_image(repo, pushed)
    driver.delete(layout.referrers(RepositoryName("team/app"), Digest(SUBJECT.digest)))


def test_what_a_client_listed_under_the_fallback_tag_is_included(repo: Repository, driver: Driver) -> None:
    push_without_index(repo, driver, SIGNATURE)
    push_image(repo, index(SIGNATURE), fallback_tag(SUBJECT))
    [found] = descriptors(repo)
    assert (found.digest, found.size) == (SIGNATURE.digest, len(SIGNATURE.content))
    assert (found.artifact_type, found.annotations) == ("application/vnd.test.signature", {"a": "b"})


def test_both_lists_are_merged_and_each_referrer_named_once(repo: Repository, driver: Driver) -> None:
    push_without_index(repo, driver, SIGNATURE)
    push_image(repo, SBOM)
    push_image(repo, index(SIGNATURE, SBOM), fallback_tag(SUBJECT))
    assert referrers(repo) == sorted([SIGNATURE.digest, SBOM.digest])


def test_what_the_fallback_tag_lists_but_refers_to_something_else_is_left_out(repo: Repository) -> None:
    stranger = artifact(image(b"another"))
    push_image(repo, index(SUBJECT, stranger), fallback_tag(SUBJECT))
    assert referrers(repo) == []


def test_a_deleted_referrer_of_the_fallback_tag_is_gone(repo: Repository, driver: Driver) -> None:
    push_without_index(repo, driver, SIGNATURE)
    push_image(repo, index(SIGNATURE), fallback_tag(SUBJECT))
    repo.delete_manifest(Digest(SIGNATURE.digest))
    assert referrers(repo) == []


def test_the_fallback_tag_of_a_sha512_subject_is_cut_to_64_digits(repo: Repository, driver: Driver) -> None:
    subject = image(b"subject", algorithm="sha512")
    signature = artifact(subject)
    push_image(repo, signature)
    driver.delete(layout.referrers(repo.name, Digest(subject.digest)))
    push_image(repo, index(signature), fallback_tag(subject))
    assert referrers(repo, subject) == [signature.digest]


def test_a_fallback_tag_that_is_no_index_does_no_harm(repo: Repository) -> None:
    push_image(repo, SIGNATURE, fallback_tag(SUBJECT))
    assert referrers(repo) == [SIGNATURE.digest]
    repo.delete_tag(Tag(fallback_tag(SUBJECT)))
    assert referrers(repo) == [SIGNATURE.digest]
