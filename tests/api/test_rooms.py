"""Operations need only the thread pools of docs/decisions/0026: with all others taken they get a response."""

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyregistry.threads.pools import Pool, pools
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import OCI_MANIFEST, artifact, digest_of, image
from tests.conftest import StartRegistry
from tests.modes import fast_path_only
from tests.push import Client, path_of
from tests.raw import DEADLINE, RawAnswer, connected, length

_ALICE = basic("alice", "secret")
_LAYER, _LARGE = b"layer", b"l" * 100_000
_IMAGE = image(_LAYER, _LARGE)
_LARGE_MANIFEST = image(_LAYER, annotations={"a": "x" * 100_000}).content
_SBOM = artifact(_IMAGE)
_PAGE = Path(__file__).parents[2] / "docs/decisions/0026-thread-pools.md"
_STREAM = b"s" * 2_000_000


@dataclass(frozen=True)
class Operation:
    """One line of the table; `pools` in the order in which it passes them."""

    name: str
    pools: tuple[str, ...]
    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        return self.name


def _manifest(reference: str) -> str:
    return f"/v2/app/manifests/{reference}"


def _blob(content: bytes) -> str:
    return f"/v2/app/blobs/{digest_of(content)}"


_TYPED = {"Content-Type": OCI_MANIFEST}
_UPLOADS = "/v2/app/blobs/uploads/"
_MOUNT = f"/v2/b/blobs/uploads/?mount={digest_of(_LAYER)}"
OPERATIONS = (
    Operation("GET of a manifest by tag", ("reads",), "GET", _manifest("v1"), 200),
    Operation("GET of a manifest by digest", ("reads",), "GET", _manifest(_IMAGE.digest), 200),
    Operation("HEAD of a manifest by tag", ("reads",), "HEAD", _manifest("v1"), 200),
    Operation("HEAD of a manifest, its lease ended", ("reads", "writes"), "HEAD", _manifest(_SBOM.digest), 200),
    Operation("GET of a blob", ("reads",), "GET", _blob(_LAYER), 200),
    Operation("GET of a range", ("reads",), "GET", _blob(_LARGE), 206, {"Range": "bytes=5-50"}),
    Operation("HEAD of a blob, its lease young", ("reads",), "HEAD", _blob(b"young"), 200),
    Operation("HEAD of a blob, its lease ended", ("reads", "writes"), "HEAD", _blob(_LAYER), 200),
    Operation("HEAD of an unknown blob", ("reads",), "HEAD", _blob(b"none"), 404),
    Operation("PUT of a manifest", ("writes",), "PUT", _manifest("v2"), 201, _TYPED, _IMAGE.content),
    Operation("PUT of a large manifest", ("walks", "writes"), "PUT", _manifest("v2"), 201, _TYPED, _LARGE_MANIFEST),
    Operation("DELETE of a tag", ("writes",), "DELETE", _manifest("v1"), 202),
    Operation("DELETE of a manifest", ("writes",), "DELETE", _manifest(_IMAGE.digest), 202),
    Operation("DELETE of a blob", ("writes",), "DELETE", _blob(b"young"), 202),
    Operation("POST of an upload", ("writes",), "POST", _UPLOADS, 202),
    Operation("GET of an upload", ("writes",), "GET", "{upload}", 204),
    Operation("PATCH of an upload", ("writes",), "PATCH", "{upload}", 202, {}, b"some"),
    Operation("PUT of an upload", ("writes",), "PUT", f"{{upload}}?digest={digest_of(b'all')}", 201, {}, b"all"),
    Operation("DELETE of an upload", ("writes",), "DELETE", "{upload}", 204),
    Operation("PATCH of a large body", ("writes", "flows"), "PATCH", "{upload}", 202, {}, _STREAM),
    Operation("mount with from", ("writes",), "POST", f"{_MOUNT}&from=app", 201),
    Operation("mount without from", ("walks", "writes"), "POST", _MOUNT, 201),
    Operation("tags", ("walks",), "GET", "/v2/app/tags/list", 200),
    Operation("referrers", ("walks",), "GET", f"/v2/app/referrers/{_IMAGE.digest}", 200),
    Operation("catalog", ("walks",), "GET", "/v2/_catalog", 200),
    Operation("token", ("reads",), "GET", "/auth/token?service=pyregistry&scope=repository:app:pull", 200),
    Operation("GET /v2/", (), "GET", "/v2/", 200),
    Operation("GET /livez", (), "GET", "/livez", 200),
    Operation("GET /readyz", (), "GET", "/readyz", 200),
)


def test_the_page_has_the_same_table() -> None:
    rows = re.findall(r"^\| (.+?) \| (.*?) \|", _PAGE.read_text(), re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", cell)) for name, cell in rows}
    assert {each.name: each.pools for each in OPERATIONS} == {
        name: found for name, found in documented.items() if name in {str(each) for each in OPERATIONS}
    }


@pytest.fixture
async def client(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """A registry of one user with an image and a referrer, which nothing has asked for yet."""
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
    rules = [{"repositories": "**", "who": "alice", "actions": ["pull", "push", "delete"]}]
    started = await start_registry(auth=auth_section(tmp_path / "htpasswd"), pyregistry={"access": rules})
    for blob in {*_IMAGE.blobs, *_SBOM.blobs, b"young"}:
        assert (await _ask(started, "POST", f"{_UPLOADS}?digest={digest_of(blob)}", {}, blob)).status == 201
    for pushed, tag in ((_IMAGE, "v1"), (_SBOM, "sbom")):
        assert (await _ask(started, "PUT", _manifest(tag), _TYPED, pushed.content)).status == 201
    # The first token makes the key of the day.
    assert (await _ask(started, "GET", "/auth/token?service=pyregistry", {}, b"")).status == 200
    return started


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_with_all_other_pools_taken_it_is_answered(client: Client, operation: Operation) -> None:
    path = await _path(client, operation)
    others = [name for name in ("reads", "writes", "flows", "walks") if name not in operation.pools]
    with _taken(*others):
        answer = await _ask(client, operation.method, path, operation.headers, operation.body)
    assert answer.status == operation.status, answer.body


@pytest.mark.parametrize(
    ("operation", "pool"),
    [
        # Without the fast path no thread reads from a connection.
        pytest.param(each, pool, marks=[fast_path_only("threads read large bodies")] if pool == "flows" else [])
        for each in OPERATIONS
        for pool in each.pools
    ],
    ids=str,
)
async def test_it_waits_for_each_of_its_pools(client: Client, operation: Operation, pool: str) -> None:
    path = await _path(client, operation)
    with _taken(pool) as waiting:
        asking = asyncio.create_task(_ask(client, operation.method, path, operation.headers, operation.body))
        async with asyncio.timeout(DEADLINE):
            while not waiting.behind():
                assert not asking.done()
                await asyncio.sleep(0.01)
    assert (await asking).status == operation.status


async def _path(client: Client, operation: Operation) -> str:
    if "{upload}" not in operation.path:
        return operation.path
    started = await _ask(client, "POST", _UPLOADS)
    return operation.path.format(upload=path_of(started.headers["Location"]))


async def _ask(
    client: Client, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> RawAnswer:
    async with connected(client) as connection:
        return await connection.request(method, path, {**_ALICE, **length(body), **(headers or {})}, body)


class _Taken:
    def __init__(self, taken: list[Pool]) -> None:
        self._taken = taken

    def behind(self) -> int:
        return sum(each._behind for each in self._taken)


@contextmanager
def _taken(*names: str) -> Iterator[_Taken]:
    """All threads of these pools are busy until the block ends."""
    of_loop, release = pools(), threading.Event()
    by_name = {"reads": of_loop.reads, "writes": of_loop.writes, "flows": of_loop.flows, "walks": of_loop.walking}
    taken = [by_name[name] for name in names]
    try:
        for pool in taken:
            for _ in range(pool.max_threads):
                pool.submit(release.wait, 60)
        yield _Taken(taken)
    finally:
        release.set()
