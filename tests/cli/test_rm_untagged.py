"""`pyregistry rm --delete-untagged`, and what rm, gc and du say of manifests that a removal left untagged."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyregistry.gc.untagging import Untagging
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local import volumes
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.referrer_pages import Wanted
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from tests.builders import Image, artifact, image, index
from tests.cli.running import run, write_config
from tests.fsck.trees import APP
from tests.gc.collecting import blobs
from tests.storage.pushing import files_of, pull, push_image, registry_on, repository, tagged_images

ONE, TWO = image(b"base", b"one"), image(b"base", b"two")


@pytest.fixture
def config(root: Path) -> Path:
    return write_config(root.parent)


@pytest.fixture
def driver(config: Path) -> FilesystemDriver:
    driver = FilesystemDriver(config.parent / "data")
    volumes.note_mounted(driver)
    return driver


@pytest.fixture
def repo(driver: FilesystemDriver) -> Repository:
    return repository(registry_on(driver), APP)


def sizes(*contents: bytes) -> int:
    return sum(map(len, contents))


def report_of(*words: str | Path) -> dict[str, int]:
    """Return the figures of a collection, without its lines of standard error."""
    report: dict[str, int] = json.loads(run("gc", "--json", *words).splitlines()[0])
    return report


def named(images: Image) -> str:
    return f"{APP}@{images.digest}"


def test_the_advice_of_rm_is_the_command_that_frees_the_space(config: Path, repo: Repository) -> None:
    push_image(repo, ONE, "one")
    push_image(repo, TWO, "two")
    said = run("rm", f"{APP}:one", "--yes", "-c", config)
    assert said.splitlines() == [
        f"removed {APP}:one",
        "the manifests of removed tags stay: pyregistry gc -m deletes those that are untagged now, and frees the space",
    ]
    held = sizes(b"one", ONE.content)
    for options in ((), ("--dry-run",)):
        assert (
            run("gc", *options, config).splitlines()[-1] == f"1 untagged manifests kept, {held} bytes; -m deletes them"
        )
    report = report_of(config)
    assert (report["untagged_manifests_kept"], report["bytes_kept_by_untagged_manifests"]) == (1, held)
    assert f"untagged manifests  1      {held}" in run("du", config)
    assert "untagged manifests" not in run("du", "-m", config)
    assert "untagged manifests" not in run("gc", "-m", "--dry-run", config)
    report = report_of("-m", config)
    assert (report["bytes_freed"], report["untagged_manifests_kept"]) == (held, 0)
    assert "untagged manifests" not in run("gc", config)


def test_what_gc_counts_is_what_gc_with_the_option_frees(
    config: Path, driver: FilesystemDriver, repo: Repository
) -> None:
    shared = image(b"shared")
    push_image(repo, index(shared, image(b"amd64")), "multi")
    push_image(repo, index(shared, image(b"arm64")), "kept")
    push_image(repo, artifact(index(shared, image(b"amd64"))))
    push_image(repository(registry_on(driver), "other"), image(b"base", b"arm64"), "latest")
    push_image(repo, image(b"base"), "base")
    for tag in ("multi", "base"):
        repo.delete_tag(Tag(tag))
    report = report_of("--grace", "0", config)
    freed = report_of("-m", "--grace", "0", config)
    assert report["blobs_removed"] == 0
    assert report["untagged_manifests_kept"] == freed["manifests_removed"] == 4
    assert report["bytes_kept_by_untagged_manifests"] == freed["bytes_freed"] > 0
    assert pull(repo, index(shared, image(b"arm64")))


def test_a_manifest_that_a_push_may_need_is_not_counted(config: Path, repo: Repository) -> None:
    push_image(repo, ONE)
    repo.manifest_with_lease(Digest(ONE.digest))
    assert "untagged" not in run("gc", config)
    assert "1 untagged manifests kept" in run("gc", "--grace", "0", config)


def test_a_repository_that_is_kept_whole_counts_nothing(
    config: Path, driver: FilesystemDriver, repo: Repository
) -> None:
    push_image(repo, ONE, "latest")
    push_image(repo, TWO, "latest")
    driver.write(layout.tag_current_link(APP, Tag("latest")), b"")
    assert "untagged" not in run("gc", "--grace", "0", config, status=2)


def test_rm_takes_the_manifest_with_its_platforms_and_referrers(
    config: Path, driver: FilesystemDriver, repo: Repository
) -> None:
    multi = index(ONE, TWO)
    push_image(repo, multi, "multi")
    signature = artifact(multi)
    attestation = artifact(ONE)
    push_image(repo, signature)
    push_image(repo, attestation)
    for each in (signature, attestation):  # as an hour later
        driver.set_mtime(layout.revision_link(APP, Digest(each.digest)), 1)
    before = files_of(driver)
    would = run("rm", f"{APP}:multi", "-m", "--dry-run", "-c", config)
    assert files_of(driver) == before
    said = run("rm", f"{APP}:multi", "-m", "--yes", "-c", config)
    gone = [multi, signature, attestation, ONE, TWO]
    assert sorted(said.splitlines()) == sorted(
        [f"removed {APP}:multi", *(f"removed {named(each)}" for each in gone), "pyregistry gc frees the space"]
    )
    assert said.splitlines()[1] == f"removed {named(multi)}"  # an index before its children
    assert [line.replace("would remove", "removed") for line in would.splitlines()] == said.splitlines()[:-1]
    assert repo.referrers(Digest(multi.digest), Wanted()).descriptors == []
    run("gc", "--grace", "0", config)
    assert blobs(driver) == set()


def test_what_something_else_needs_stays_and_the_reason_is_said(config: Path, repo: Repository) -> None:
    push_image(repo, ONE, "one", "also")
    push_image(repo, index(TWO), "multi")
    push_image(repo, TWO, "two")
    output = json.loads(run("rm", f"{APP}:one", f"{APP}:two", "-m", "--yes", "--json", "-c", config))
    assert output == {
        "dry_run": False,
        "removed": [f"{APP}:one", f"{APP}:two"],
        "kept": [
            {"manifest": named(ONE), "reason": "the tag also names it"},
            {"manifest": named(TWO), "reason": f"the manifest {index(TWO).digest} needs it, or is its subject"},
        ],
    }
    assert pull(repo, ONE)
    assert pull(repo, index(TWO))


def test_an_untagged_index_keeps_its_children(config: Path, repo: Repository) -> None:
    push_image(repo, index(ONE, TWO), "old")
    repo.delete_tag(Tag("old"))
    push_image(repo, index(TWO), "new")
    run("rm", f"{APP}:new", "-m", "--yes", "-c", config)
    assert pull(repo, index(ONE, TWO))
    assert not pull(repo, index(TWO))


def test_a_signature_that_lost_its_tag_stays_with_its_subject(config: Path, repo: Repository) -> None:
    push_image(repo, ONE, "one")
    push_image(repo, artifact(ONE), "signature")
    said = run("rm", f"{APP}:signature", "-m", "--yes", "-c", config)
    assert f"kept {named(artifact(ONE))}: the manifest {ONE.digest} needs it, or is its subject" in said
    assert pull(repo, artifact(ONE))


def test_what_a_push_in_progress_was_promised_stays(config: Path, repo: Repository) -> None:
    push_image(repo, index(ONE), "multi")
    repo.manifest_with_lease(Digest(ONE.digest))
    run("rm", f"{APP}:multi", "-m", "--yes", "-c", config)
    assert not pull(repo, index(ONE))
    assert pull(repo, ONE)


def test_a_digest_takes_what_it_leaves_untagged(config: Path, driver: FilesystemDriver, repo: Repository) -> None:
    push_image(repo, index(ONE, TWO), "multi")
    push_image(repo, TWO, "two")
    run("rm", named(index(ONE, TWO)), "-m", "--yes", "-c", config)
    assert tagged_images(repo) == {"two": TWO.digest}
    assert not pull(repo, ONE)
    assert pull(repo, TWO)


@pytest.mark.parametrize("what", ["a manifest", "a tag"])
def test_where_something_cannot_be_read_only_the_tag_goes(
    config: Path, driver: FilesystemDriver, repo: Repository, what: str
) -> None:
    push_image(repo, ONE, "one")
    push_image(repo, TWO, "two")
    path = layout.blob_data(Digest(TWO.digest)) if what == "a manifest" else layout.tag_current_link(APP, Tag("two"))
    driver.write(path, b"")
    said = run("rm", f"{APP}:one", "-m", "--yes", "-c", config, status=3)
    assert "cannot be read; see pyregistry fsck" in said
    assert "one" not in tagged_images(repo)
    assert pull(repo, ONE)


def test_many_tags_go_in_batches_and_leave_nothing(config: Path, driver: FilesystemDriver, repo: Repository) -> None:
    push_image(repo, ONE, "kept")
    for number in range(70):
        push_image(repo, image(b"base", str(number).encode()), f"pr-{number}")
    run("rm", f"{APP}:pr-*", "-m", "--yes", "-c", config)
    assert list(repo.tags()) == ["kept"]
    run("gc", "--grace", "0", config)
    assert len(blobs(driver)) == 4


def test_a_tag_that_is_pushed_again_meanwhile_keeps_its_manifest(driver: FilesystemDriver, repo: Repository) -> None:
    push_image(repo, ONE, "one")
    removal = Untagging(driver, LocalCoordinator(driver), APP, 3600.0).remove([Tag("one")], [])
    assert next(removal) == "one"  # the locks are given back here
    push_image(repo, ONE, "one")
    assert list(removal) == []
    assert pull(repo, ONE)


def test_pushes_beside_removals_are_whole(driver: FilesystemDriver, repo: Repository) -> None:
    is_over = threading.Event()

    def push() -> None:
        for number in range(20):
            push_image(repo, index(ONE, image(str(number % 3).encode())), "multi")
        is_over.set()

    with ThreadPoolExecutor(1) as pool:
        pushes = pool.submit(push)
        while not is_over.is_set() and not pushes.done():
            list(Untagging(driver, LocalCoordinator(driver), APP, 3600.0).remove([Tag("multi")], []))
        pushes.result()
    last = index(ONE, image(b"1"))
    assert tagged_images(repo) in ({}, {"multi": last.digest})
    assert pull(repo, last) or not tagged_images(repo)
