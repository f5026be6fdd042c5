"""docs/backup.md: its commands, while images are pushed, moved and deleted and garbage is collected."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.storage.seams import layout
from tests.engine.images import oci_image
from tests.engine.wire import Wire
from tests.pages.commands import Page
from tests.pages.load import Load, gc, push_steady, require_whole
from tests.processes import Server, data_directory, pyregistry_server, require
from tests.storage.mounts import file_system


@dataclass
class Place:
    """A server with the paths that the page has for its data, its copy and its config."""

    directory: Path
    server: Server
    page: Page
    copy: Path

    def run(self, block: str) -> str:
        return self.page.run(block, self.directory)

    def restored(self) -> Server:
        """Do what the page says under "Restoring"; return a server for it, not yet started."""
        self.server.stop()
        self.run("restore")
        return self.server


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    for program in ("rsync", "restic", "flock"):
        require(program, "util-linux" if program == "flock" else program)
    server = pyregistry_server(tmp_path, pyregistry={"workers": 2})
    data, copy = data_directory(tmp_path), tmp_path / "backup"
    paths = {
        "/srv/registry.broken": str(tmp_path / "broken"),
        "/srv/registry.copy": str(tmp_path / "copy"),
        "/srv/registry": str(data),
        "/backup/registry": str(copy),
        "config.yml": str(server.config),
    }
    page = Page("backup.md", paths)
    (tmp_path / "backup.sh").write_text(page.blocks["backup.sh"])
    with server:
        yield Place(tmp_path, server, page, copy)


def damage(place: Place) -> list[str]:
    """Verify the copy as the page says; return the kinds of damage."""
    text = place.page.text("verify").strip() + " --json || true"
    place.page.blocks["verify as JSON"] = text
    document = json.loads(place.page.run("verify as JSON", place.directory))
    assert document["scrub"]["complete"]
    return [finding["kind"] for finding in document["findings"] if finding["damage"]]


def test_a_backup_under_load_loses_no_image_that_was_pushed_before_it_began(place: Place) -> None:
    load = Load(place.server)
    steady = push_steady(place.server, load)
    with load.running():
        load.go_on()
        place.run("backup")
        load.go_on()
        place.run("backup")  # the second one finds a copy that is older
        load.go_on()
    assert not place.server.faults(), place.server.output()
    assert set(damage(place)) <= {"dangling-tag", "missing-manifest"}  # pushed and deleted meanwhile
    with place.restored() as server, Wire(server) as wire:
        for (repository, tag), digest in steady.items():
            assert require_whole(wire, repository, tag) == digest
        for repository, digests in load.pushed.items():
            assert require_whole(wire, repository, "latest") in digests
        assert gc(server) == 0
        for (repository, tag), digest in steady.items():
            assert require_whole(wire, repository, tag) == digest
        wire.push("app", "after", oci_image())
        assert not server.faults(), server.output()


def test_a_stage_of_hard_links_goes_through_restic_under_load(place: Place) -> None:
    load = Load(place.server)
    steady = push_steady(place.server, load)
    vault = {"RESTIC_REPOSITORY": str(place.directory / "vault"), "RESTIC_PASSWORD": "secret"}
    place.page.blocks["init"] = "restic init"
    place.page.run("init", place.directory, **vault)
    with load.running():
        load.go_on()
        for _ in range(2):
            place.page.run("restic", place.directory, **vault)
    blob = place.directory / "copy" / layout.blob_data(Digest(next(iter(steady.values()))))
    assert blob.stat().st_nlink == 2
    restored = place.directory / "restored"
    place.page.blocks["from restic"] = f"restic restore latest --target {restored}"
    place.page.run("from restic", place.directory, **vault)
    (restored / str(place.directory / "copy").removeprefix("/")).rename(place.copy)
    with place.restored() as server, Wire(server) as wire:
        for (repository, tag), digest in steady.items():
            assert require_whole(wire, repository, tag) == digest
        for repository, digests in load.pushed.items():
            assert require_whole(wire, repository, "latest") in digests


def between(place: Place, lines: list[str], act: Callable[[int], None]) -> None:
    """Run the copying lines of backup.sh one after the other, and `act` before each."""
    begin = place.page.blocks["backup.sh"].partition("mkdir -p")[0]
    for number, line in enumerate(lines):
        act(number)
        place.page.blocks["line"] = begin + 'mkdir -p "$to"\n' + line
        (place.directory / "line.sh").write_text(place.page.blocks["line"])
        done = subprocess.run(
            ["sh", "line.sh", str(data_directory(place.directory)), str(place.copy)],
            cwd=place.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_a_snapshot_under_load_needs_no_order(tmp_path: Path) -> None:
    """The snapshot is read-only: it is verified and served as it is."""
    require("btrfs", "btrfs-progs")
    with file_system("btrfs", tmp_path) as volume:
        subprocess.run(["btrfs", "subvolume", "create", str(data_directory(volume))], check=True, capture_output=True)
        server = pyregistry_server(volume, pyregistry={"workers": 2})
        load = Load(server)
        page = Page("backup.md", {"/srv/registry": str(data_directory(volume)), "config.yml": str(server.config)})
        with server:
            steady = push_steady(server, load)
            with load.running():
                load.go_on()
                page.run("btrfs", tmp_path)
                load.go_on()
        [snapshot] = volume.glob("data.*")
        assert damage(Place(tmp_path, server, with_copy(page, snapshot), snapshot)) == []
        server.env["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] = str(snapshot)
        with server, Wire(server) as wire:
            for (repository, tag), digest in steady.items():
                assert require_whole(wire, repository, tag) == digest
            for repository, digests in load.pushed.items():
                assert require_whole(wire, repository, "latest") in digests


def with_copy(page: Page, copy: Path) -> Page:
    """The same page, with this directory in the place of the copy."""
    return Page("backup.md", {**page.paths, "/backup/registry": str(copy)})


def lines_of(place: Place) -> list[str]:
    return [line for line in place.page.blocks["backup.sh"].splitlines() if line.startswith("copy --")]


@pytest.mark.parametrize("holds_gc", [True, False], ids=["without gc", "with gc"])
def test_what_moves_and_goes_between_any_two_lines_is_whole_unless_garbage_is_collected(
    place: Place, holds_gc: bool
) -> None:
    """The second case shows that the first could fail."""
    with Wire(place.server) as wire:
        wire.push("app", "latest", oci_image((100, 2000)))

        def act(number: int) -> None:
            wire.push("app", "latest", oci_image((100, 2000)))
            wire.push("app", f"v{number}", oci_image((100, 2000)))
            if number:
                digest = wire.digest("app", f"v{number - 1}")
                wire.request("DELETE", f"/v2/app/manifests/{digest}").must(202)
            if not holds_gc:
                assert gc(place.server) == 0

        between(place, lines_of(place), act)
    assert bool(damage(place)) == (not holds_gc)


def test_blobs_first_would_lose_a_tag(place: Place) -> None:
    with Wire(place.server) as wire:
        wire.push("app", "latest", oci_image((100, 2000)))
        lines = lines_of(place)
        assert "/blobs/" in lines[-1]
        between(place, [lines[-1], *lines[:-1]], lambda number: wire.push("app", "latest", oci_image((10, 20))))
    assert "missing-manifest" in damage(place)


def test_the_copy_can_be_served_beside_the_registry(place: Place) -> None:
    with Wire(place.server) as wire:
        wire.push("app", "latest", oci_image())
    place.run("backup")
    other = place.directory / "other"
    other.mkdir()
    copy = pyregistry_server(other)
    assert place.page.blocks["serve"].startswith("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/backup/registry ")
    copy.env["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] = str(place.copy)
    with copy, Wire(copy) as wire:
        require_whole(wire, "app", "latest")


def test_a_copy_of_what_is_not_there_fails(place: Place) -> None:
    command = ["sh", "backup.sh", str(place.directory / "nothing"), str(place.copy)]
    done = subprocess.run(command, cwd=place.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "try 5: rsync ended with 23" in done.stderr


def test_a_second_run_removes_from_the_copy_what_was_deleted(place: Place) -> None:
    with Wire(place.server) as wire:
        wire.push("app", "gone", oci_image())
        wire.push("app", "stays", oci_image())
        place.run("backup")
        wire.request("DELETE", f"/v2/app/manifests/{wire.digest('app', 'gone')}").must(202)
    assert gc(place.server) == 0
    place.run("backup")
    kept = sorted(path.name for path in (place.copy / "docker/registry/v2/repositories/app/_manifests/tags").iterdir())
    assert kept == ["stays"]
    blobs = [
        len(list((root / "docker/registry/v2/blobs").rglob("data")))
        for root in (place.copy, data_directory(place.directory))
    ]
    assert blobs[0] == blobs[1]


def test_a_host_of_a_container_uses_the_lock_of_the_collector(place: Place) -> None:
    with Wire(place.server) as wire:
        wire.push("app", "latest", oci_image())
    lock = data_directory(place.directory) / layout.LOCKS / "gc"
    assert not lock.exists()
    place.page.paths = {**place.page.paths, "docker exec registry ": ""}
    place.page.run("container", place.directory, REGISTRY_CONFIGURATION_PATH=str(place.server.config))
    assert lock.exists()
    assert damage(place) == []
