"""A repair checks again, and waits for writers that are between two steps."""

import threading
from collections.abc import Callable

import pytest

from pyregistry.fsck.findings import Finding
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local import leases
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.locking import repository_lock
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from tests.fsck.trees import (
    APP,
    LATEST,
    NEW,
    OLD,
    SBOM,
    WIDE,
    blob_path,
    content_of,
    current,
    fill,
    findings,
    layer_link,
    repair,
)
from tests.storage.pushing import push_blob, push_image, repository

DAMAGE: dict[str, Callable[[Driver], None]] = {
    "torn-link": lambda driver: driver.write(layer_link(b"new"), b""),
    "torn-tag": lambda driver: driver.write(current(), b""),
    "dangling-tag": lambda driver: driver.write(current("v1"), Digest.of(b"gone").encode()),
    "dangling-layer": lambda driver: driver.delete(layout.blob(Digest.of(b"without a manifest"))),
    "missing-manifest": lambda driver: driver.delete(layout.blob(Digest(NEW.digest))),
    "damaged-manifest": lambda driver: driver.write(blob_path(NEW.content), b"{}"),
    "empty-blob": lambda driver: driver.write(blob_path(b"new"), b""),
    "corrupt-blob": lambda driver: driver.write(blob_path(b"new"), b"mew!"),
    "missing-referrer": lambda driver: driver.delete(layout.referrer(APP, Digest(NEW.digest), Digest(SBOM.digest))),
    "unlisted-referrer": lambda driver: driver.delete(layout.all_referrers(APP)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_a_push_healed_meanwhile_is_left_alone(driver: Driver, registry: Registry, kind: str) -> None:
    fill(registry)
    before = content_of(driver)
    DAMAGE[kind](driver)
    old = [finding for finding in findings(driver) if finding.kind == kind]
    assert old
    fill_again(registry, before, driver)
    assert [repair(driver, finding) for finding in old] == [None] * len(old)
    assert content_of(driver) == before


def fill_again(registry: Registry, before: dict[str, bytes], driver: Driver) -> None:
    """Push what was damaged, as a client would."""
    app = repository(registry, APP)
    push_image(app, NEW, "latest", "v1")
    push_blob(app, b"without a manifest")
    for path in before.keys() - content_of(driver).keys():  # the referrer, whose artifact is there all the time
        assert "_referrers" in path
        driver.write(layout.StoragePath(path), before[path])


def test_a_tag_that_was_moved_meanwhile_stays_there(driver: Driver, registry: Registry) -> None:
    fill(registry)
    driver.write(current(), b"")
    [finding] = findings(driver)
    app = repository(registry, APP)
    app.put_manifest(LATEST, OLD.content, OLD.media_type)
    assert repair(driver, finding) is None
    assert app.tagged(LATEST) == OLD.digest


@pytest.mark.parametrize("held", ["commit section", "repository"])
def test_a_repair_waits_for_a_writer(driver: Driver, registry: Registry, held: str) -> None:
    fill(registry)
    driver.write(current(), b"")
    [finding] = findings(driver)
    done = threading.Event()

    def mend(found: Finding) -> None:
        repair(driver, found)
        done.set()

    with leases.commit_section(driver) if held == "commit section" else repository_lock(driver, APP):
        thread = threading.Thread(target=mend, args=(finding,))
        thread.start()
        assert not done.wait(0.2)
    assert done.wait(10)
    thread.join()
    assert repository(registry, APP).tagged(LATEST) == NEW.digest


def test_a_link_that_was_written_again_is_a_lease_on_a_touched_blob(driver: Driver, registry: Registry) -> None:
    fill(registry)
    before = driver.stat(blob_path(b"new"))
    driver.write(layer_link(b"new"), b"")
    [finding] = findings(driver)
    repair(driver, finding)
    assert driver.stat(blob_path(b"new")).modified_ns > before.modified_ns


def test_the_torn_link_of_a_foreign_sha512_is_not_guessed(driver: Driver, registry: Registry) -> None:
    """The CNCF registry has the bytes under their sha256, which only the link said."""
    fill(registry)
    wide = Digest.of(b"wide", "sha512")
    driver.delete(layout.blob(wide))
    driver.write(blob_path(b"wide"), b"wide")
    driver.write(layout.layer_link(APP, wide), Digest.of(b"wide").encode())
    assert findings(driver) == []
    driver.write(layout.layer_link(APP, wide), b"")
    kinds = {str(finding.kind): finding for finding in findings(driver)}
    assert kinds.keys() == {"missing-blob", "dangling-layer"}
    assert kinds["missing-blob"].lost == (f"{APP}:{Tag('wide')}",)
    assert WIDE.algorithm == "sha512"
