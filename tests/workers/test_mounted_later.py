"""A file system that is mounted in the data directory of a server that runs."""

import shutil
from pathlib import Path

import pytest

from tests.builders import image
from tests.processes import data_directory, pyregistry_server
from tests.storage.mounts import bound
from tests.workers.http import ask, push_in_chunks

IMAGE = image(b"layer")


@pytest.mark.parametrize("point", ["docker", "docker/registry/v2/blobs"])
def test_each_worker_answers_one_push_with_503_and_goes_on(tmp_path: Path, point: str) -> None:
    """The locks went with the blobs: what a worker holds when it notices keeps no other process out."""
    with pyregistry_server(tmp_path, pyregistry={"workers": 1}) as server:

        def push() -> int:
            headers = {"Content-Type": IMAGE.media_type}
            return ask(server, "PUT", "/v2/app/manifests/latest", IMAGE.content, headers).status

        for blob in IMAGE.blobs:
            assert push_in_chunks(server, "app", [blob]).status == 201
        assert push() == 201
        data = data_directory(tmp_path)
        shutil.copytree(data / point, volume := tmp_path / "volume")
        with bound(volume, data / point):
            assert [push() for _ in range(3)] == [503, 201, 201]
