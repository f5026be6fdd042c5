"""A disk that loses what is written to it: no client is ever told that bytes are there which are not on the disk."""

import asyncio
import hashlib
import http.client
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import RegistryError
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.syscalls import mount_id
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.rules import Rules
from tests.clients.programs import Regctl
from tests.engine.images import oci_image, write_layout
from tests.processes import Server, missing, pyregistry_server, wait_until
from tests.push import path_of
from tests.storage.mounts import RefusingDisk
from tests.storage.pushing import registry_on

CONTENT = os.urandom(3_000_000)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
NAME = "app"
FAILED_PUT = re.compile(r"storage error.*PUT|PUT.*storage error")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[RefusingDisk]:
    disk = RefusingDisk(tmp_path)
    with disk.attached():
        yield disk


def server(tmp_path: Path, disk: RefusingDisk) -> Server:
    return pyregistry_server(tmp_path, storage={"filesystem": {"rootdirectory": str(disk.root)}})


def call(registry: Server, method: str, path: str, body: bytes = b"") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=60)
    connection.request(method, path, body)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def begin(registry: Server, content: bytes) -> str:
    """An upload that holds `content`, as far as the server knows; its Location."""
    location = path_of(call(registry, "POST", f"/v2/{NAME}/blobs/uploads/").headers["Location"])
    path = location.removeprefix(registry.url)
    assert call(registry, "PATCH", path, content).status == 202
    return path


def linked_blobs(disk: RefusingDisk) -> dict[str, str]:
    """The digest of each layer link, and that of the bytes that it leads to."""
    tree = disk.root / "docker/registry/v2"
    links = [path.read_text() for path in tree.glob("repositories/**/_layers/*/*/link")]
    return {link: _digest_in(tree, link.removeprefix("sha256:")) for link in links}


def lost(disk: RefusingDisk) -> dict[str, str]:
    """Return those of `linked_blobs` that lead to other bytes, or to nothing."""
    return {link: found for link, found in linked_blobs(disk).items() if link != found}


def _digest_in(tree: Path, encoded: str) -> str:
    path = tree / "blobs/sha256" / encoded[:2] / encoded / "data"
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" if path.exists() else "nothing"


def test_after_a_failed_sync_the_same_put_finds_no_upload(tmp_path: Path, disk: RefusingDisk) -> None:
    with server(tmp_path, disk) as registry:
        upload = begin(registry, CONTENT)
        disk.refuse()
        put = f"{upload}{'&' if '?' in upload else '?'}digest={DIGEST}"
        assert call(registry, "PUT", put).status >= 500
        disk.accept()  # so that nothing hinders the next one
        assert [call(registry, "PUT", put).status for _ in range(4)] == [404] * 4  # whichever worker it reaches
        assert call(registry, "GET", upload).status == 404
        assert call(registry, "HEAD", f"/v2/{NAME}/blobs/{DIGEST}").status == 404
        registry.restart()
        assert call(registry, "PUT", put).status == 404
        again = begin(registry, CONTENT)
        assert call(registry, "PUT", f"{again}{'&' if '?' in again else '?'}digest={DIGEST}").status == 201
    disk.mount_again()
    assert linked_blobs(disk) == {DIGEST: DIGEST}


def test_a_blob_that_is_lost_in_one_put_is_not_there_after_the_next(tmp_path: Path, disk: RefusingDisk) -> None:
    with server(tmp_path, disk) as registry:
        location = path_of(call(registry, "POST", f"/v2/{NAME}/blobs/uploads/").headers["Location"])
        disk.refuse()
        put = f"{location}{'&' if '?' in location else '?'}digest={DIGEST}"
        assert call(registry, "PUT", put, CONTENT).status >= 500
        disk.accept()
        assert call(registry, "PUT", put).status == 404
    disk.mount_again()
    assert linked_blobs(disk) == {}


def test_what_regctl_was_told_is_there_is_on_the_disk(tmp_path: Path, disk: RefusingDisk) -> None:
    """It repeats a PUT that was answered with an error, by then to a disk that is well again."""
    write_layout(tmp_path / "it", oci_image((3_000_000, 4096)))
    (tmp_path / "home").mkdir()
    with server(tmp_path, disk) as registry:
        regctl = Regctl(tmp_path / "home", registry.host)
        push = ("image", "copy", f"ocidir://{tmp_path}/it:it", f"{registry.host}/{NAME}:1")
        begin(registry, b"the directories of the repository are on the disk")
        disk.refuse()
        with regctl.start(*push):
            wait_until(lambda: FAILED_PUT.search(registry.output()) is not None, "a PUT has failed")
            disk.accept()
        registry.stop()
        disk.mount_again()
        assert not lost(disk)
        registry.start()
        regctl.run(*push)
    disk.mount_again()
    assert not lost(disk)
    assert len(linked_blobs(disk)) == 3


async def test_an_upload_that_was_lost_between_two_mounts_is_read_again(disk: RefusingDisk) -> None:
    """The hash that an earlier request noted is true of bytes that only memory held."""

    def repository() -> Repository:
        return registry_on(FilesystemDriver(disk.root), Rules()).repository(RepositoryName(NAME))

    async def pieces() -> AsyncIterator[bytes]:
        yield CONTENT

    if not await asyncio.to_thread(mount_id, str(disk.root)):
        missing("this kernel does not tell two mounts apart (Linux 6.8)")
    before = await asyncio.to_thread(repository)
    await (await asyncio.to_thread(before.start_upload)).append(pieces())  # which makes all directories
    upload = await asyncio.to_thread(before.start_upload)
    await asyncio.to_thread(os.sync)
    await asyncio.to_thread(disk.refuse)
    await upload.append(pieces())
    await asyncio.to_thread(disk.write_back, layout.upload_data(before.name, upload.id))
    await asyncio.to_thread(disk.accept)  # in time for the note
    await asyncio.to_thread(disk.mount_again)
    assert await asyncio.to_thread(upload.offset) == len(CONTENT)
    for repo in (
        before,
        await asyncio.to_thread(repository),
    ):  # a worker that has the hash, and one that reads the note
        with suppress(RegistryError):
            await repo.upload(upload.id).commit(Digest(DIGEST), nothing())
    assert await asyncio.to_thread(linked_blobs, disk) == {}


async def nothing() -> AsyncIterator[bytes]:
    """A body without bytes."""
    for piece in list[bytes]():
        yield piece
