"""Uploads: appending, resuming and giving up. What arrives is kept, the size of the file is the offset."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import (
    BlobTooLarge,
    BlobUnknown,
    BlobUploadUnknown,
    SizeInvalid,
    UploadRangeInvalid,
)
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout, uploads
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload
from pyregistry.storage.uploads import batches
from tests.storage.installations import Installation
from tests.storage.paths import content_of
from tests.storage.pushing import Body, broken, stream

CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)
BUSY_WAIT = 0.1


@pytest.fixture
def repo(installation: Installation) -> Repository:
    return installation.repository()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests do not wait long for each other."""
    monkeypatch.setattr(uploads, "BUSY_WAIT_SECONDS", BUSY_WAIT)


async def start(repo: Repository, algorithm: str = "sha256") -> Upload:
    return await asyncio.to_thread(repo.start_upload, algorithm)


async def offset_of(upload: Upload) -> int:
    return await asyncio.to_thread(upload.offset)


async def stored(repo: Repository, digest: Digest) -> bytes:
    return await asyncio.to_thread(lambda: content_of(repo.blob(digest)))


async def test_a_new_upload_is_empty_and_says_when_it_began(repo: Repository, installation: Installation) -> None:
    upload = await start(repo)
    assert await offset_of(upload) == 0
    path = layout.upload_started_at(repo.name, upload.id)
    started_at = await asyncio.to_thread(installation.driver.read, path)
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", started_at)


async def test_two_uploads_have_two_ids(repo: Repository) -> None:
    assert (await start(repo)).id != (await start(repo)).id


async def test_what_is_appended_moves_the_offset(repo: Repository) -> None:
    upload = await start(repo)
    assert await upload.append(stream(b"01", b"", b"234")) == 5
    assert await upload.append(stream(b"56789"), at=5) == 10
    assert await upload.append(stream(), at=10) == 10
    await upload.commit(DIGEST, stream())
    assert await stored(repo, DIGEST) == CONTENT


@pytest.mark.parametrize(
    "size", [batches.BATCH_BYTES - 1, batches.BATCH_BYTES, batches.BATCH_BYTES + 1, 3 * batches.BATCH_BYTES + 7]
)
@pytest.mark.parametrize("chunk", [batches.BATCH_BYTES * 4, 65_536 + 1])
async def test_content_of_any_size_arrives_in_chunks_of_any_size(repo: Repository, size: int, chunk: int) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    upload = await start(repo)
    await upload.commit(Digest.of(content), stream(*(content[at : at + chunk] for at in range(0, size, chunk))))
    assert await stored(repo, Digest.of(content)) == content


@pytest.mark.parametrize("at", [0, 4, 6, 2**62])
async def test_a_chunk_at_a_wrong_offset_is_refused_and_changes_nothing(repo: Repository, at: int) -> None:
    upload = await start(repo)
    await upload.append(stream(b"01234"))
    with pytest.raises(UploadRangeInvalid):
        await upload.append(stream(b"xxxxx"), at=at)
    with pytest.raises(UploadRangeInvalid):
        await upload.commit(DIGEST, stream(b"xxxxx"), at=at)
    assert await offset_of(upload) == 5
    await upload.commit(DIGEST, stream(b"56789"), at=5)


@pytest.mark.parametrize("length", [4, 6], ids=["more arrives", "less arrives"])
async def test_a_length_that_is_not_what_arrives_is_refused(repo: Repository, length: int) -> None:
    upload = await start(repo)
    with pytest.raises(SizeInvalid):
        await upload.append(stream(b"01234"), length=length)
    with pytest.raises(SizeInvalid):
        await upload.commit(DIGEST, stream(b"01234"), length=length)


async def test_a_commit_of_another_length_than_announced_leaves_the_upload_open(repo: Repository) -> None:
    upload = await start(repo)
    with pytest.raises(SizeInvalid):
        await upload.commit(DIGEST, stream(b"01234"), at=0, length=10)
    assert await offset_of(upload) == 5
    await upload.commit(DIGEST, stream(b"56789"), at=5, length=5)
    assert await stored(repo, DIGEST) == CONTENT


async def test_a_blob_has_the_largest_size_that_is_allowed_and_no_more(installation: Installation) -> None:
    repo = installation.repository(Rules(max_blob_size=10))
    upload = await start(repo)
    await upload.append(stream(CONTENT))
    with pytest.raises(BlobTooLarge):
        await upload.append(stream(b"x"))
    with pytest.raises(BlobTooLarge):
        await upload.commit(DIGEST, stream(b"x"))
    assert await offset_of(upload) == 10
    await upload.commit(DIGEST, stream())


async def test_an_announced_length_above_the_limit_is_too_large_before_a_byte_is_read(
    installation: Installation,
) -> None:
    upload = await start(installation.repository(Rules(max_blob_size=10)))
    await upload.append(stream(b"01234"))

    body = Body(b"567890")
    body.end.set()
    with pytest.raises(BlobTooLarge):
        await upload.append(body, length=6)
    assert not body.begun.is_set()
    assert await offset_of(upload) == 5


async def test_a_body_that_breaks_off_leaves_what_came_before(repo: Repository) -> None:
    upload = await start(repo)
    with pytest.raises(ConnectionResetError):
        await upload.append(broken(b"012", b"34"))
    assert await offset_of(upload) == 5
    with pytest.raises(ConnectionResetError):
        await upload.commit(DIGEST, broken(b"56"))
    assert await offset_of(upload) == 7
    await upload.commit(DIGEST, stream(b"789"), at=7)
    assert await stored(repo, DIGEST) == CONTENT


async def test_a_body_that_breaks_off_is_not_committed_even_if_all_of_it_came(repo: Repository) -> None:
    upload = await start(repo)
    with pytest.raises(ConnectionResetError):
        await upload.commit(DIGEST, broken(CONTENT))
    with pytest.raises(BlobUnknown):
        await stored(repo, DIGEST)
    assert await offset_of(upload) == 10


async def test_a_cancelled_request_leaves_whole_batches_and_the_upload_free(repo: Repository) -> None:
    upload = await start(repo)
    stuck = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * batches.BATCH_BYTES
        stuck.set()
        await asyncio.sleep(60)

    request = asyncio.create_task(upload.append(body()))
    await stuck.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await offset_of(upload) == batches.BATCH_BYTES
    content = b"x" * batches.BATCH_BYTES + b"end"
    await upload.commit(Digest.of(content), stream(b"end"), at=batches.BATCH_BYTES)


@pytest.mark.usefixtures("impatient")
async def test_a_second_request_on_the_same_upload_waits_and_is_refused(repo: Repository) -> None:
    upload = await start(repo)
    body = Body(b"first")
    first = asyncio.create_task(upload.append(body))
    await body.begun.wait()
    attempts = [upload.append(stream(b"second")), upload.commit(DIGEST, stream(b"second")), upload.cancel()]
    before = asyncio.get_running_loop().time()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        assert isinstance(result, UploadRangeInvalid)
    assert asyncio.get_running_loop().time() - before >= BUSY_WAIT * 0.9
    body.end.set()
    assert await first == 5
    await upload.commit(Digest.of(b"first"), stream())


async def test_requests_that_do_not_wait_too_long_follow_each_other_and_never_mix(
    repo: Repository, installation: Installation
) -> None:
    upload = await start(repo)
    parts = [bytes([letter]) * 100_000 for letter in b"abcd"]
    await asyncio.gather(*(upload.append(stream(part[:50_000], part[50_000:])) for part in parts))
    content = await asyncio.to_thread(installation.content_of, upload)
    assert sorted(content[at : at + 100_000] for at in range(0, 400_000, 100_000)) == parts
    await upload.commit(Digest.of(content), stream())


async def test_of_two_requests_for_the_same_offset_one_is_refused(repo: Repository) -> None:
    upload = await start(repo)
    body = Body(b"01234")
    first = asyncio.create_task(upload.append(body, at=0))
    await body.begun.wait()
    second = asyncio.create_task(upload.append(stream(b"xxxxx"), at=0))
    await asyncio.sleep(0.05)
    body.end.set()
    assert await first == 5
    with pytest.raises(UploadRangeInvalid):
        await second
    await upload.commit(DIGEST, stream(b"56789"))


async def test_of_two_commits_at_once_one_makes_the_blob_and_the_other_finds_no_upload(repo: Repository) -> None:
    upload = await start(repo)
    await upload.append(stream(CONTENT))
    body = Body(b"")
    first = asyncio.create_task(upload.commit(DIGEST, body))
    await body.begun.wait()
    second = asyncio.create_task(upload.commit(DIGEST, stream()))
    await asyncio.sleep(0.05)
    body.end.set()
    await first
    with pytest.raises(BlobUploadUnknown):
        await second
    assert await stored(repo, DIGEST) == CONTENT
