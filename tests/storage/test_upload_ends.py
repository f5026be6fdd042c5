"""The files that an upload leaves behind, and uploads that do not exist."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUploadUnknown, DigestInvalid
from pyregistry.oci.names import UploadId
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.uploads import Upload
from tests.storage.installations import Installation
from tests.storage.pushing import files_of, registry_on, repository, stream

CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)
UNKNOWN = UploadId("0f3b1c2d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")


@pytest.fixture
def registry(installation: Installation) -> Registry:
    return installation.worker()


@pytest.fixture
def repo(registry: Registry) -> Repository:
    return repository(registry)


@pytest.fixture(params=["nobody's", "a finished one", "a cancelled one", "another repository's"])
async def unknown(request: pytest.FixtureRequest, repo: Repository, registry: Registry) -> Upload:
    """An upload that this repository does not have, or no longer."""
    if request.param == "nobody's":
        return repo.upload(UNKNOWN)
    if request.param == "another repository's":
        return repo.upload((await asyncio.to_thread(repository(registry, "other").start_upload)).id)
    upload = await asyncio.to_thread(repo.start_upload)
    if request.param == "a finished one":
        await upload.commit(DIGEST, stream(CONTENT))
    else:
        await upload.cancel()
    return upload


async def test_to_an_unknown_upload_nothing_is_appended(unknown: Upload) -> None:
    with pytest.raises(BlobUploadUnknown):
        await unknown.append(stream(CONTENT))


async def test_an_unknown_upload_is_not_committed(unknown: Upload) -> None:
    with pytest.raises(BlobUploadUnknown):
        await unknown.commit(DIGEST, stream(CONTENT))


async def test_an_unknown_upload_is_not_cancelled(unknown: Upload) -> None:
    with pytest.raises(BlobUploadUnknown):
        await unknown.cancel()


async def test_an_unknown_upload_has_no_offset(unknown: Upload) -> None:
    with pytest.raises(BlobUploadUnknown):
        await asyncio.to_thread(unknown.offset)


async def test_an_upload_is_not_ended_through_another_repository(repo: Repository, registry: Registry) -> None:
    upload = await asyncio.to_thread(repo.start_upload)
    await upload.append(stream(b"01234"))
    with pytest.raises(BlobUploadUnknown):
        await repository(registry, "other").upload(upload.id).cancel()
    await upload.commit(DIGEST, stream(b"56789"), at=5)


async def test_a_cancelled_upload_leaves_nothing(repo: Repository, installation: Installation) -> None:
    upload = await asyncio.to_thread(repo.start_upload, "sha512")
    await upload.append(stream(CONTENT))
    await upload.cancel()
    assert await asyncio.to_thread(files_of, installation.driver) == []


async def test_a_wrong_digest_ends_the_upload_and_leaves_nothing(repo: Repository, installation: Installation) -> None:
    upload = await asyncio.to_thread(repo.start_upload)
    await upload.append(stream(b"01234"))
    with pytest.raises(DigestInvalid):
        await upload.commit(DIGEST, stream(b"other"))
    with pytest.raises(BlobUploadUnknown):
        await asyncio.to_thread(upload.offset)
    assert await asyncio.to_thread(files_of, installation.driver) == []


async def test_a_finished_upload_leaves_the_blob_and_its_link(repo: Repository, installation: Installation) -> None:
    upload = await asyncio.to_thread(repo.start_upload)
    await upload.append(stream(CONTENT))
    await upload.commit(DIGEST, stream())
    expected = {str(layout.blob_data(DIGEST)), str(layout.layer_link(repo.name, DIGEST))}
    assert set(await asyncio.to_thread(files_of, installation.driver)) == expected


def test_who_comes_in_the_middle_of_a_commit_does_not_begin_the_upload_anew(root: Path) -> None:
    arrived = threading.Event()

    class Watched(FilesystemDriver):
        def move(self, source: StoragePath, target: StoragePath) -> None:
            super().move(source, target)
            arrived.set()
            time.sleep(0.1)  # the other one looks for the data now

    async def push(upload: Upload, other: Upload) -> None:
        committing = asyncio.create_task(upload.commit(DIGEST, stream(CONTENT)))
        await asyncio.to_thread(arrived.wait)
        with pytest.raises(BlobUploadUnknown):
            await other.commit(DIGEST, stream())
        await committing

    repo = repository(registry_on(Watched(root)))
    upload = repo.start_upload()
    asyncio.run(push(upload, repo.upload(upload.id)))
    assert repo.blob(DIGEST).size == len(CONTENT)
