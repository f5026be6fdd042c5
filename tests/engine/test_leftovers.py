"""Whatever a CNCF registry left in its tree, all of what it served is served, and can be worked with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.engine.images import digest_of, oci_image, unique
from tests.engine.leftovers import LEFTOVERS, NOBODY, REPOSITORY, TAG, UPLOAD, Place, remove
from tests.engine.volume import Volume
from tests.engine.wire import Wire
from tests.processes import Server, cncf3_server, data_directory, pyregistry_server
from tests.storage.pushing import registry_on


def fill(server: Server) -> Volume:
    """The content that has to be served."""
    volume = Volume()
    with Wire(server) as wire:
        for repository in (REPOSITORY, "left", "other"):
            for tag in ("1", "2", "1"):  # moved, so that there is a past
                volume.push(wire, repository, tag, oci_image((100, 200)))
    return volume


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Volume]]:
    """A registry on a tree that the CNCF registry 3.1.1 wrote."""
    directory = tmp_path_factory.mktemp("left")
    with cncf3_server(directory) as server:
        volume = fill(server)
    with pyregistry_server(directory) as server:
        yield server, volume


def place_of(server: Server) -> Place:
    return Place(data_directory(server.directory))


def disturb(wire: Wire) -> None:
    """Ask for what is not whole: never more than a plain answer."""
    upload = f"/v2/{REPOSITORY}/blobs/uploads/{UPLOAD}"
    wire.request("GET", upload).must(204, 404)
    wire.manifest(REPOSITORY, TAG).must(404)
    wire.manifest(REPOSITORY, f"sha256:{NOBODY}").must(404)
    wire.request("GET", f"/v2/{REPOSITORY}/blobs/sha256:{NOBODY}").must(404)
    wire.request("GET", f"/v2/{REPOSITORY}/referrers/sha256:{NOBODY}").must(200)
    wire.request("GET", "/v2/empty/tags/list").must(200, 404)
    wire.request("PATCH", upload, bytes(5)).must(202, 404)
    wire.request("DELETE", upload).must(204, 404)


def work(wire: Wire) -> None:
    """Push over what is not whole, and delete it."""
    image = oci_image((300,))
    wire.push(REPOSITORY, TAG, image)
    assert wire.digest(REPOSITORY, TAG) == digest_of(image.manifest)
    wire.request("DELETE", f"/v2/{REPOSITORY}/manifests/{TAG}").must(202)
    wire.manifest(REPOSITORY, TAG).must(404)
    wire.push("empty", unique("tag"), image)


@given(st.sets(st.sampled_from(sorted(LEFTOVERS)), max_size=8))
@example(set(LEFTOVERS))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_is_served_beside_what_was_left(filled: tuple[Server, Volume], names: set[str]) -> None:
    server, volume = filled
    place = place_of(server)
    made = [LEFTOVERS[name](place) for name in sorted(names)]
    try:
        registry = registry_on(FilesystemDriver(place.root))
        assert {str(upload.id) for upload in registry.uploads()} <= {UPLOAD}
        with Wire(server) as wire:
            volume.check_present(wire)
            disturb(wire)
            work(wire)
            volume.check_present(wire)
        assert not server.faults(), server.output()
    finally:
        remove(place, made)


def test_the_cncf_registry_serves_all_beside_it_as_well(tmp_path: Path) -> None:
    with cncf3_server(tmp_path) as server, Wire(server) as wire:
        volume = fill(server)
        for name in sorted(set(LEFTOVERS)):
            LEFTOVERS[name](place_of(server))
        volume.check_present(wire)
