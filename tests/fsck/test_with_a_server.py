"""The commands while clients push to a server, and on the trees of another one."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from pyregistry.fsck.scope import CheckScope
from pyregistry.fsck.scrubbing import Coverage
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.rules import Rules
from tests.engine.images import OCI_INDEX, digest_of, oci_image, oci_index
from tests.engine.wire import Wire
from tests.fsck.trees import check, repair, scrub
from tests.processes import Server, cncf_server, data_directory, forked_server
from tests.storage.pushing import remove_repository

ROUNDS = 12


def driver_of(server: Server) -> FilesystemDriver:
    return FilesystemDriver(data_directory(server.directory))


def found_in(driver: FilesystemDriver) -> list[str]:
    return [f"{finding.kind} {finding.path}" for finding in check(driver, CheckScope(Rules()))]


def push_much(server: Server, name: str) -> None:
    """Images that share a layer, a moved tag, an index, deletes."""
    image = shared = oci_image((1000,))
    with Wire(server) as wire:
        for number in range(ROUNDS):
            image = oci_image((10, 2000))
            wire.push(name, "latest", image)
            wire.push(name, f"v{number}", shared)
            wire.push_blob(f"{name}/nested", image.config)
            index = oci_index(image, shared)
            path = f"/v2/{name}/manifests/multi"
            wire.request("PUT", path, index, {"Content-Type": OCI_INDEX}).must(201)
            if number % 3 == 2:
                wire.request("DELETE", f"/v2/{name}/manifests/v{number - 1}").must(202)
                wire.request("DELETE", f"/v2/{name}/manifests/{digest_of(index)}").must(202)
        assert wire.digest(name, "latest") == digest_of(image.manifest)
        for content in image.blobs:
            assert wire.request("GET", f"/v2/{name}/blobs/{digest_of(content)}").must(200).body == content


def during(work: Sequence[Callable[[], None]], meanwhile: Callable[[], None]) -> int:
    """Do `meanwhile` again and again until all of `work` is done; how often it was."""
    failures: list[BaseException] = []

    def guarded(each: Callable[[], None]) -> None:
        try:
            each()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    times = 0
    while any(thread.is_alive() for thread in threads):
        meanwhile()
        times += 1
    for thread in threads:
        thread.join()
    assert not failures, failures
    return times


def test_a_check_and_a_scrub_beside_pushes_find_nothing_and_disturb_nobody(tmp_path: Path) -> None:
    with forked_server(tmp_path, pyregistry={"workers": 2}) as server:
        driver = driver_of(server)

        def look() -> None:
            for finding in (
                *check(driver, CheckScope(Rules(), leave_young=3600)),
                *scrub(driver, Coverage(), lambda size: None),
            ):
                raise AssertionError(f"{finding}, and after it: {repair(driver, finding)}")

        assert during([partial(push_much, server, name) for name in ("one", "two", "two/more")], look) > 1
        assert found_in(driver) == []
        assert not server.faults(), server.output()


def test_a_repair_beside_pushes_mends_the_damage_and_nothing_else(tmp_path: Path) -> None:
    with forked_server(tmp_path, pyregistry={"workers": 2}) as server, Wire(server) as wire:
        driver = driver_of(server)
        image = oci_image((10, 3000))
        wire.push("broken", "latest", image)
        wire.push("other", "latest", image)
        layer = Digest(digest_of(image.layers[1]))
        (driver.root / layout.blob_data(layer)).write_bytes(b"cut off")
        (driver.root / layout.revision_link(RepositoryName("other"), Digest(digest_of(image.manifest)))).write_bytes(
            b""
        )

        def mend() -> None:
            for finding in check(driver, CheckScope(Rules())):
                repair(driver, finding)

        during([partial(push_much, server, name) for name in ("one", "two")], mend)
        mend()
        assert {line.split()[0] for line in found_in(driver)} == {"missing-blob"}
        wire.request("HEAD", f"/v2/broken/blobs/{layer}").must(404)
        wire.push("broken", "latest", image)
        wire.push("other", "latest", image)
        assert wire.request("GET", f"/v2/other/blobs/{layer}").must(200).body == image.layers[1]
        assert found_in(driver) == []
        assert not server.faults(), server.output()


def test_a_removed_repository_is_gone_at_once_and_its_uploads_are_unknown(tmp_path: Path) -> None:
    with forked_server(tmp_path, pyregistry={"workers": 2}) as server, Wire(server) as wire:
        image = oci_image((10, 2000))
        wire.push("team/app", "latest", image)
        wire.push("team/app/nested", "latest", image)
        opened = wire.request("POST", "/v2/team/app/blobs/uploads/", b"").must(202)
        grown = wire.request("PATCH", opened.path, iter([b"half"])).must(202)
        assert remove_repository(driver_of(server), RepositoryName("team/app"))
        assert wire.catalog().keys() == {"team/app/nested"}
        wire.request("GET", "/v2/team/app/tags/list").must(404)
        for method in ("PATCH", "PUT", "GET"):
            wire.request(method, grown.path_with(digest=digest_of(b"half")), b"").must(404)
        assert not remove_repository(driver_of(server), RepositoryName("team/app"))
        wire.push("team/app", "latest", image)
        assert wire.digest("team/app", "latest") == digest_of(image.manifest)
        assert found_in(driver_of(server)) == []
        assert not server.faults(), server.output()


def test_removing_a_repository_beside_pushes_to_it_leaves_a_sound_tree(tmp_path: Path) -> None:
    with forked_server(tmp_path, pyregistry={"workers": 2}) as server:
        driver = driver_of(server)

        def push() -> None:
            with Wire(server) as wire:
                for _ in range(ROUNDS):
                    image = oci_image((10, 2000))
                    for content in image.blobs:
                        push_blob_or_none(wire, content)
                    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
                    wire.request("PUT", "/v2/app/manifests/latest", image.manifest, headers).must(201, 404)

        def remove() -> None:
            remove_repository(driver, RepositoryName("app"))

        during([push, push], remove)
        # An upload whose file is gone when it is to become a blob leaves the directory that was made for it.
        assert {line.split()[0] for line in found_in(driver)} <= {"no-data"}
        with Wire(server) as wire:
            wire.push("app", "latest", oci_image())
        assert not server.faults(), server.output()


def push_blob_or_none(wire: Wire, content: bytes) -> None:
    opened = wire.request("POST", "/v2/app/blobs/uploads/", b"").must(202)
    wire.request("PUT", opened.path_with(digest=digest_of(content)), content).must(201, 404)


@pytest.mark.parametrize("make", [forked_server, cncf_server], ids=["ours", "the CNCF registry 2.8"])
def test_a_tree_after_pushes_and_deletes_is_sound(tmp_path: Path, make: Callable[[Path], Server]) -> None:
    with make(tmp_path) as server, Wire(server) as wire:
        images = [oci_image((10, 2000)) for _ in range(3)]
        for number, image in enumerate(images):
            wire.push("team/app", "latest", image)
            wire.push("team/app/nested", f"v{number}", image)
        index = oci_index(*images)
        wire.request("PUT", "/v2/team/app/manifests/multi", index, {"Content-Type": OCI_INDEX}).must(201)
        wire.request("DELETE", f"/v2/team/app/nested/manifests/{digest_of(images[0].manifest)}").must(202)
        wire.push_blob("only/blobs", b"a blob")
        wire.request("POST", "/v2/only/upload/blobs/uploads/", b"").must(202)
        found = found_in(driver_of(server))
    # The CNCF registry makes `_manifests` with the first manifest, which hinders no client.
    half = "no-manifests docker/registry/v2/repositories/only/blobs/_manifests"
    assert found == ([] if make is forked_server else [half])
    assert list(scrub(driver_of(server), Coverage(), lambda size: None)) == []
