"""A data directory that is on several file systems."""

from pathlib import Path

from tests.processes import data_directory
from tests.storage.mounts import tmpfs
from tests.workers.watching import watched_server


def test_each_file_system_of_the_tree_is_shown_by_its_mount(tmp_path: Path) -> None:
    blobs = "docker/registry/v2/blobs"
    top = data_directory(tmp_path) / blobs
    top.mkdir(parents=True)
    with tmpfs(top, "size=64m"), watched_server(tmp_path, pyregistry={"workers": 1}) as watched:
        sizes = watched.samples("pyregistry_storage_filesystem_size_bytes")
        assert {dict(key)["mount"] for key in sizes} == {".", blobs}
        assert sizes[("mount", blobs),] == 64 * 1024 * 1024
        assert watched.total("pyregistry_storage_room_bytes") < 64 * 1024 * 1024
