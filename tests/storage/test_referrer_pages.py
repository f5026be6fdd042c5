"""Pages of referrers: a reader pays for what the page shows, whatever those who pushed wrote into their manifests."""

import json
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from pyregistry.fsck.scope import CheckScope
from pyregistry.oci.digest import Digest
from pyregistry.oci.document import Descriptor
from pyregistry.oci.manifest import MAX_ANNOTATIONS_BYTES
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.repositories.referrer_pages import MAX_WORK_BYTES, PAGE_BYTES, Page, Wanted
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.rules import Rules
from tests.builders import Image, artifact, image, index
from tests.fsck.trees import check
from tests.storage.counting import CountingDriver
from tests.storage.pushing import push_image, registry_on, repository

SUBJECT = image(b"subject")
FALLBACK = SUBJECT.digest.replace(":", "-")
SBOM, SIGNATURE = "application/vnd.test.sbom", "application/vnd.test.signature"
MANIFEST_BYTES = 4 * 1024 * 1024


@pytest.fixture
def driver(root: Path) -> CountingDriver:
    return CountingDriver(root)


@pytest.fixture
def repo(driver: CountingDriver) -> Repository:
    return repository(registry_on(driver))


def page_of(repo: Repository, **wanted: object) -> Page:
    return repo.referrers(Digest(SUBJECT.digest), Wanted(**wanted))  # type: ignore[arg-type] # the caller knows them


def shown(page: Page) -> list[str]:
    return [msgspec.json.decode(encoded, type=Descriptor).digest for encoded in page.descriptors]


def follow(repo: Repository, **wanted: object) -> list[list[str]]:
    pages, last = [], ""
    while True:
        page = page_of(repo, after=last, **wanted)
        pages.append(shown(page))
        if page.last is None:
            return pages
        assert page.last > last
        last = page.last


def annotated(number: int, size: int, artifact_type: str = SBOM, subject: Image | None = SUBJECT) -> Image:
    """A referrer with annotations of `size` bytes."""
    return artifact(subject, artifact_type, annotations={"number": str(number), "filling": "x" * size})


def listed_only(repo: Repository, driver: CountingDriver, *children: Image) -> None:
    """As in a tree of a registry without a referrers API: a client's list, and no index of ours."""
    for child in children:
        push_image(repo, child)
    push_image(repo, index(*children), FALLBACK)
    driver.delete(layout.all_referrers(repo.name))


def entry(pushed: Image) -> layout.StoragePath:
    return layout.referrer(RepositoryName("team/app"), Digest(SUBJECT.digest), Digest(pushed.digest))


def data(pushed: Image) -> layout.StoragePath:
    return layout.blob_data(Digest(pushed.digest))


@pytest.mark.parametrize("subject", [SUBJECT, image(b"another")], ids=["a referrer", "none"])
def test_a_manifest_that_a_list_names_very_often_is_read_once_and_never_again(
    repo: Repository, driver: CountingDriver, subject: Image
) -> None:
    heavy = annotated(0, 1_000_000, subject=subject)
    push_image(repo, heavy)
    repo.put_manifest(Tag(FALLBACK), index(*[heavy] * 1_999).content, None)
    for path in (layout.all_referrers(repo.name),):
        driver.delete(path)
    driver.reads.clear()
    expected = [heavy.digest] if subject is SUBJECT else []
    assert shown(page_of(repo)) == expected
    assert driver.reads[data(heavy)] == 1
    driver.read_bytes = 0
    assert shown(page_of(repo)) == expected
    assert driver.read_bytes < 1_000  # the tag's link


def test_a_page_reads_the_entries_that_it_shows_and_the_one_behind(repo: Repository, driver: CountingDriver) -> None:
    pushed = {each.digest: each for each in (annotated(number, 10_000) for number in range(12))}
    for each in pushed.values():
        push_image(repo, each)
    digests = sorted(pushed)
    driver.reads.clear()
    page = page_of(repo, count=2, after=digests[3])
    assert (shown(page), page.last) == (digests[4:6], digests[5])
    assert [path for path in driver.reads if path.endswith("/descriptor")] == [
        entry(pushed[digest]) for digest in digests[4:7]
    ]


def test_n_0_reads_nothing(repo: Repository, driver: CountingDriver) -> None:
    push_image(repo, annotated(0, 10))
    driver.read_bytes = 0
    assert page_of(repo, count=0) == ([], None)
    assert driver.read_bytes == 0


@pytest.mark.parametrize("way", ["our index", "a client's list"])
@pytest.mark.parametrize(
    ("more", "kept"), [(0, True), (1, False), (MANIFEST_BYTES - MAX_ANNOTATIONS_BYTES - 1_000, False)]
)
def test_annotations_are_shown_up_to_a_bound(
    repo: Repository, driver: CountingDriver, way: str, more: int, kept: bool
) -> None:
    around = len(msgspec.json.encode({"number": "0", "filling": ""}))
    pushed = annotated(0, MAX_ANNOTATIONS_BYTES - around + more)
    if way == "our index":
        push_image(repo, pushed)
    else:
        listed_only(repo, driver, pushed)
    [found] = [msgspec.json.decode(encoded, type=Descriptor) for encoded in page_of(repo).descriptors]
    assert (found.digest, found.size, found.artifact_type) == (pushed.digest, len(pushed.content), SBOM)
    assert (found.annotations is not None) == kept
    assert found.annotations is None or found.annotations == json.loads(pushed.content)["annotations"]
    assert repo.manifest(Digest(pushed.digest)).content == pushed.content


@pytest.mark.parametrize("artifact_type", [None, SBOM])
def test_of_an_entry_from_before_the_bound_only_its_head_is_used(
    repo: Repository, driver: CountingDriver, artifact_type: str | None
) -> None:
    pushed = annotated(0, MANIFEST_BYTES - 1_000)
    push_image(repo, pushed)
    document = json.loads(pushed.content)
    old = {"digest": pushed.digest, "size": len(pushed.content), "mediaType": document["mediaType"]}
    old |= {"artifactType": SBOM, "annotations": document["annotations"]}
    driver.write(entry(pushed), json.dumps(old, separators=(",", ":")).encode())
    driver.read_bytes = 0
    [encoded] = page_of(repo, artifact_type=artifact_type).descriptors
    assert json.loads(encoded) == {key: value for key, value in old.items() if key != "annotations"}
    assert driver.read_bytes < MAX_ANNOTATIONS_BYTES + 10_000
    assert list(check(driver, CheckScope(Rules()))) == []


def test_a_filter_reads_the_heads_of_what_it_leaves_out(repo: Repository, driver: CountingDriver) -> None:
    others = [annotated(number, 200_000, SIGNATURE) for number in range(20)]
    wanted = annotated(0, 10)
    for each in [*others, wanted]:
        push_image(repo, each)
    driver.read_bytes = 0
    assert shown(page_of(repo, artifact_type=SBOM)) == [wanted.digest]
    assert driver.read_bytes < 21 * 3_000
    assert len(shown(page_of(repo, artifact_type=SIGNATURE))) == 20


def test_a_page_ends_after_so_much_reading_and_the_next_goes_on(repo: Repository, driver: CountingDriver) -> None:
    heavy = [annotated(number, MANIFEST_BYTES - 1_000) for number in range(7)]
    strangers = [annotated(number, MANIFEST_BYTES - 1_000, subject=image(b"another")) for number in range(7)]
    listed_only(repo, driver, *heavy, *strangers)
    last, found, requests = "", [], 0
    while True:
        driver.read_bytes = 0
        page = page_of(repo, after=last)
        assert driver.read_bytes <= MAX_WORK_BYTES + MANIFEST_BYTES + 10_000
        found += shown(page)
        requests += 1
        if page.last is None:
            break
        last = page.last
    assert found == sorted(each.digest for each in heavy)
    assert requests > 3
    assert [digest for page in follow(repo) for digest in page] == found


def test_a_page_of_large_annotations_is_bounded_in_bytes_and_memory(repo: Repository) -> None:
    pushed = [annotated(number, 255_000) for number in range(40)]
    for each in pushed:
        push_image(repo, each)
    tracemalloc.start()
    try:
        page = page_of(repo)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, page.descriptors)) <= PAGE_BYTES
    assert peak < 2 * PAGE_BYTES
    assert [digest for page in follow(repo) for digest in page] == sorted(each.digest for each in pushed)


def test_what_is_remembered_of_a_list_shows_no_manifest_that_was_deleted(
    repo: Repository, driver: CountingDriver
) -> None:
    one, two = annotated(1, 10), annotated(2, 10)
    listed_only(repo, driver, one, two)
    assert len(shown(page_of(repo))) == 2
    repo.delete_manifest(Digest(one.digest))
    assert shown(page_of(repo)) == [two.digest]
    push_image(repo, one)
    assert shown(page_of(repo)) == sorted([one.digest, two.digest])
    repo.delete_manifest(Digest(index(one, two).digest))
    driver.delete(layout.all_referrers(repo.name))
    assert shown(page_of(repo)) == []


def test_a_list_that_moved_on_is_read_again(repo: Repository, driver: CountingDriver) -> None:
    one, two = annotated(1, 10), annotated(2, 10)
    listed_only(repo, driver, one)
    assert shown(page_of(repo)) == [one.digest]
    listed_only(repo, driver, one, two)
    assert shown(page_of(repo)) == sorted([one.digest, two.digest])
