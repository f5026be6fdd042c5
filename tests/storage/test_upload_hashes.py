"""The digest decides, in each way to compute it: by this worker, by a checkpoint of another, or by reading again."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, DigestInvalid
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.local import uploads as local_uploads
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.uploads import LocalUploads
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout, uploads
from pyregistry.storage.seams.objects import PathNotFound
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload
from pyregistry.storage.uploads import hash_checkpoints
from tests.storage.paths import content_of
from tests.storage.pushing import broken, registry_on, repository, stream

CONTENT = b"0123456789"
DIGESTS = [Digest.of(CONTENT), Digest.of(CONTENT, "sha512")]
LARGE = CONTENT * (uploads.SMALL_BYTES // len(CONTENT) + 1)
"""Bytes that are read again if needed, and so are noted."""
OTHER = [Digest.of(b"other"), Digest.of(b"other", "sha512")]
FOREIGN = UploadId("0f3b1c2d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")


class Workers:
    """Several processes' views of one repository: each has running hashes of its own."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def new(self) -> Repository:
        """Of another worker."""
        return repository(registry_on(self.driver))

    async def upload(self, algorithm: str = "sha256") -> Upload:
        """A new upload."""
        return await asyncio.to_thread(self.new().start_upload, algorithm)


@pytest.fixture
def workers(driver: Driver) -> Workers:
    return Workers(driver)


async def stored(repo: Repository, digest: Digest) -> bytes:
    return await asyncio.to_thread(lambda: content_of(repo.blob(digest)))


@pytest.mark.parametrize("digest", DIGESTS, ids=["sha256", "sha512"])
@pytest.mark.parametrize("announced", ["sha256", "sha512"])
@pytest.mark.parametrize("chunks", [[CONTENT], [b"01234", b"56789"], [b"", CONTENT, b""]], ids=["one", "two", "empty"])
@pytest.mark.parametrize("change", [True, False], ids=["another worker each time", "one worker"])
async def test_content_is_accepted_under_its_digest(
    workers: Workers, digest: Digest, announced: str, chunks: list[bytes], change: bool
) -> None:
    upload = await workers.upload(announced)
    for chunk in chunks:
        await upload.append(stream(chunk))
        if change:
            upload = workers.new().upload(upload.id)
    await upload.commit(digest, stream())
    assert await stored(workers.new(), digest) == CONTENT


@pytest.mark.parametrize("digest", OTHER, ids=["sha256", "sha512"])
@pytest.mark.parametrize("change", [True, False], ids=["another worker", "one worker"])
async def test_content_is_refused_under_another_digest(workers: Workers, digest: Digest, change: bool) -> None:
    upload = await workers.upload(digest.algorithm)
    await upload.append(stream(b"01234"))
    if change:
        upload = workers.new().upload(upload.id)
    with pytest.raises(DigestInvalid):
        await upload.commit(digest, stream(b"56789"))
    with pytest.raises(BlobUnknown):
        await stored(workers.new(), digest)


async def test_a_worker_that_comes_back_does_not_trust_the_hash_that_it_kept(workers: Workers) -> None:
    first = await workers.upload()
    await first.append(stream(b"01"))
    second = workers.new().upload(first.id)
    await second.append(stream(b"2345"))
    await first.append(stream(b"67"))
    await second.append(stream(b"89"))
    await first.commit(DIGESTS[0], stream())


async def test_after_a_broken_body_the_digest_is_right(workers: Workers) -> None:
    upload = await workers.upload()
    with pytest.raises(ConnectionResetError):
        await upload.append(broken(b"0", b"1234"))
    await upload.append(stream(b"56789"))
    await upload.commit(DIGESTS[0], stream())


Members = dict[str, object]
LIES: dict[str, Callable[[Members], object]] = {
    "no checkpoint": lambda checkpoint: checkpoint.clear(),
    "another inode": lambda checkpoint: checkpoint.update(inode=1),
    "another time": lambda checkpoint: checkpoint.update(mtime_ns=1),
    "another size": lambda checkpoint: checkpoint.update(offset=9),
    "another epoch": lambda checkpoint: checkpoint.update(epoch="before the power cut"),
    "another algorithm": lambda checkpoint: checkpoint.update(algorithm="sha512"),
    "an algorithm that does not exist": lambda checkpoint: checkpoint.update(algorithm="crc32"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_checkpoint_that_does_not_fit_the_file_is_not_believed(
    workers: Workers, lie: Callable[[Members], object]
) -> None:
    upload = await workers.upload()
    await upload.append(stream(LARGE))
    path = layout.upload_record(upload.id)
    checkpoint: Members = msgspec.json.decode(await asyncio.to_thread(workers.driver.read, path))
    checkpoint["encoded"] = OTHER[0].encoded
    lie(checkpoint)
    await asyncio.to_thread(workers.driver.write, path, msgspec.json.encode(checkpoint) if checkpoint else b"")
    await workers.new().upload(upload.id).commit(Digest.of(LARGE), stream())
    assert await stored(workers.new(), Digest.of(LARGE)) == LARGE


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"\0" * 100, b"\xff", b'{"algorithm":"\xff"}', b"[]", b"null", b'{"algorithm":"md5"}']
)
async def test_a_torn_checkpoint_is_as_good_as_none(workers: Workers, torn: bytes) -> None:
    upload = await workers.upload("sha512")
    path = layout.upload_record(upload.id)
    await asyncio.to_thread(workers.driver.write, path, torn)
    await upload.append(stream(b"01234"))
    await asyncio.to_thread(workers.driver.write, path, torn)
    await workers.new().upload(upload.id).commit(DIGESTS[1], stream(b"56789"))


async def test_a_checkpoint_that_fits_saves_reading_the_file(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await workers.upload()
    await upload.append(stream(LARGE))
    monkeypatch.setattr(local_uploads, "hash_source", lambda *_: pytest.fail("the file was read"))
    await workers.new().upload(upload.id).commit(Digest.of(LARGE), stream())


async def test_what_is_small_is_noted_for_no_other_worker(workers: Workers) -> None:
    upload = await workers.upload()
    await upload.append(stream(CONTENT))
    with pytest.raises(PathNotFound):
        await asyncio.to_thread(workers.driver.stat, layout.upload_record(upload.id))
    await workers.new().upload(upload.id).commit(DIGESTS[0], stream())


async def test_a_file_that_changed_behind_the_record_is_read_again(root: Path) -> None:
    workers = Workers(await asyncio.to_thread(FilesystemDriver, root))
    upload = await workers.upload()
    await upload.append(stream(b"0123x"))
    data = root / layout.upload_data(upload.repository, upload.id)
    await asyncio.to_thread(data.write_bytes, b"01234")
    await upload.append(stream(b"56789"))
    await upload.commit(DIGESTS[0], stream())
    assert await stored(workers.new(), DIGESTS[0]) == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_the_blob_of_no_bytes_is_a_blob(workers: Workers, algorithm: str) -> None:
    empty = Digest.of(b"", algorithm)
    upload = await workers.upload()
    await upload.commit(empty, stream())
    assert await stored(workers.new(), empty) == b""


async def test_a_second_push_of_a_blob_that_is_damaged_heals_it(workers: Workers) -> None:
    await (await workers.upload()).commit(DIGESTS[0], stream(CONTENT))
    await asyncio.to_thread(workers.driver.write, layout.blob_data(DIGESTS[0]), b"damaged")
    await (await workers.upload()).commit(DIGESTS[0], stream(CONTENT))
    assert await stored(workers.new(), DIGESTS[0]) == CONTENT


FOREIGN_UPLOADS = {
    "no data yet": (b"", {}),
    "some data": (b"01234", {"data": b"01234"}),
    "data and Go's hash states": (
        b"01234",
        {"data": b"01234", "hashstates/sha256/0": b"sha\x03", "hashstates/sha256/5": b"sha\x03junk"},
    ),
}


@pytest.mark.parametrize(("there", "files"), FOREIGN_UPLOADS.values(), ids=FOREIGN_UPLOADS.keys())
@pytest.mark.parametrize("at_once", [True, False], ids=["with the commit", "with an append"])
async def test_an_upload_of_the_cncf_registry_can_be_finished(
    root: Path, there: bytes, files: dict[str, bytes], at_once: bool
) -> None:
    directory = root / layout.upload(RepositoryName("team/app"), FOREIGN)

    def prepare() -> None:
        for name, content in {"startedat": b"2026-01-02T03:04:05Z", **files}.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)

    await asyncio.to_thread(prepare)
    workers = Workers(await asyncio.to_thread(FilesystemDriver, root))
    upload = workers.new().upload(FOREIGN)
    assert await asyncio.to_thread(upload.offset) == len(there)
    rest = CONTENT[len(there) :]
    if at_once:
        await upload.commit(DIGESTS[0], stream(rest), at=len(there))
    else:
        assert await upload.append(stream(rest), at=len(there)) == 10
        await upload.commit(DIGESTS[0], stream())
    assert await stored(workers.new(), DIGESTS[0]) == CONTENT
    assert not await asyncio.to_thread(directory.exists)


async def test_an_upload_without_its_starting_time_can_be_finished(workers: Workers) -> None:
    upload = await workers.upload()
    await asyncio.to_thread(workers.driver.delete, layout.upload_started_at(upload.repository, upload.id))
    await upload.append(stream(CONTENT))
    await upload.commit(DIGESTS[0], stream())


async def test_the_oldest_running_hashes_are_dropped_and_their_uploads_finished_all_the_same(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_checkpoints, "_RUNNING_HASHES", 2)
    uploads = LocalUploads(workers.driver, Rules().max_blob_size)
    repo = repository(registry_on(workers.driver, uploads=uploads))
    started = [await asyncio.to_thread(repo.start_upload) for _ in range(4)]
    for upload in started:
        await upload.append(stream(b"01234"))
    assert len(uploads.hashes) == 2
    for upload in started:
        await upload.commit(DIGESTS[0], stream(b"56789"))
    assert len(uploads.hashes) <= 2


async def test_a_finished_upload_leaves_no_record(workers: Workers) -> None:
    upload = await workers.upload("sha512")
    await upload.append(stream(CONTENT))
    path = layout.upload_record(upload.id)
    await asyncio.to_thread(workers.driver.stat, path)
    await upload.commit(DIGESTS[1], stream())
    with pytest.raises(PathNotFound):
        await asyncio.to_thread(workers.driver.stat, path)
