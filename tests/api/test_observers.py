"""Observers get one event for each successful pull and change, and cannot harm either."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from pyregistry.api.http.context import Handler
from pyregistry.observe import observers as observers_module
from pyregistry.observe.observers import Event, EventAction, EventTarget
from tests.api.observing import Seen, registry_with
from tests.api.test_fast_path import age, prepared
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import OCI_MANIFEST, Image, digest_of, image, index
from tests.modes import FAST_PATH, fast_path_only
from tests.push import Client, path_of, push_blob, push_image, put_manifest, start_upload
from tests.raw import ask, connected, request_head

LAYER = b"a layer"
IMAGE = image(LAYER)
OTHER = image(LAYER, config=b'{"other": 1}')
LARGE = image(LAYER, annotations={"text": "x" * 100_000})
LIST = index(IMAGE)
LAYER_DIGEST = digest_of(LAYER)
MANIFEST, BLOB, TAG = EventTarget.MANIFEST, EventTarget.BLOB, EventTarget.TAG
OCTETS = "application/octet-stream"
TIMES = 10


class Pull(NamedTuple):
    """A request that is made TIMES times, and its event for an observer."""

    method: str
    path: str
    headers: Mapping[str, str]
    action: EventAction
    target: EventTarget
    content: bytes
    tags: tuple[str, ...]
    status: int
    ordinary: int
    """Requests of them that a handler answered: one puts a thing into memory."""


_ETAG, _PART = {"If-None-Match": f'"{IMAGE.digest}"'}, {"Range": "bytes=1-2"}
_BLOB_ETAG, _PARTS = {"If-None-Match": f'"{LAYER_DIGEST}"'}, {"Range": "bytes=0-0,2-3"}
_BY_TAG, _BY_DIGEST, _OF_LAYER = "manifests/v1", f"manifests/{IMAGE.digest}", f"blobs/{LAYER_DIGEST}"
PULL, HEAD, PART, NOT_MODIFIED = (
    EventAction.PULL,
    EventAction.HEAD,
    EventAction.PULL_RANGE,
    EventAction.NOT_MODIFIED,
)
PULLS = [
    Pull("GET", _BY_TAG, {}, PULL, MANIFEST, IMAGE.content, ("v1",), 200, 1),
    Pull("GET", _BY_DIGEST, {}, PULL, MANIFEST, IMAGE.content, (), 200, 1),
    Pull("HEAD", _BY_TAG, {}, HEAD, MANIFEST, IMAGE.content, ("v1",), 200, 1),
    Pull("HEAD", _BY_DIGEST, {}, HEAD, MANIFEST, IMAGE.content, (), 200, 1),
    Pull("GET", _BY_TAG, _ETAG, NOT_MODIFIED, MANIFEST, IMAGE.content, ("v1",), 304, TIMES),
    Pull("HEAD", _BY_DIGEST, _ETAG, NOT_MODIFIED, MANIFEST, IMAGE.content, (), 304, TIMES),
    Pull("GET", _BY_TAG, {"Connection": "close"}, PULL, MANIFEST, IMAGE.content, ("v1",), 200, TIMES),
    Pull("GET", f"{_BY_TAG}?x=1", {}, PULL, MANIFEST, IMAGE.content, ("v1",), 200, TIMES),
    Pull("GET", "manifests/large", {}, PULL, MANIFEST, LARGE.content, ("large",), 200, TIMES),
    Pull("GET", "manifests/all", {}, PULL, MANIFEST, LIST.content, ("all",), 200, 1),
    Pull("HEAD", _OF_LAYER, {}, HEAD, BLOB, LAYER, (), 200, 1),
    Pull("HEAD", _OF_LAYER, _BLOB_ETAG, NOT_MODIFIED, BLOB, LAYER, (), 304, TIMES),
    Pull("GET", _OF_LAYER, {}, PULL, BLOB, LAYER, (), 200, TIMES),
    Pull("GET", _OF_LAYER, _BLOB_ETAG, NOT_MODIFIED, BLOB, LAYER, (), 304, TIMES),
    Pull("GET", _OF_LAYER, _PART, PART, BLOB, LAYER, (), 206, TIMES),
    Pull("GET", _OF_LAYER, _PARTS, PART, BLOB, LAYER, (), 206, TIMES),
]


async def fill(client: Client, directory: Path) -> None:
    """Images whose links are old enough that what is read of them may be remembered."""
    for pushed, tag in ((IMAGE, "v1"), (LARGE, "large"), (LIST, "all")):
        await push_image(client, "team/app", pushed, tag)
    age(directory / "data")


async def ask_again_and_again(client: Client, pull: Pull, headers: Mapping[str, str]) -> None:
    head = request_head(pull.method, f"/v2/team/app/{pull.path}", headers)
    if "Connection" in headers:
        for _ in range(TIMES):
            async with connected(client) as connection:
                await connection.send(head)
                assert (await connection.answer(pull.method)).status == pull.status
        return
    async with connected(client) as connection:
        for _ in range(TIMES):
            await connection.send(head)
            assert (await connection.answer(pull.method)).status == pull.status


@pytest.mark.parametrize("pull", PULLS, ids=lambda pull: f"{pull.method} {pull.path[:20]} {pull.status} {pull.action}")
async def test_ten_of_ten_pulls_are_told_whoever_answers_them(tmp_path: Path, pull: Pull) -> None:
    seen = Seen()
    async with registry_with(tmp_path, seen) as client:
        await fill(client, tmp_path)
        seen.since()
        prepared(client)
        headers = {"X-Request-ID": "run-1", "User-Agent": "docker/28", **pull.headers}
        await ask_again_and_again(client, pull, headers)
        assert len(prepared(client)) == (pull.ordinary if FAST_PATH else TIMES)
        async with asyncio.timeout(10):
            while len(seen.events) < TIMES:  # the end of a blob is notified when its last byte is with the kernel
                await asyncio.sleep(0.01)
        events = seen.since()
    first = events[0]
    assert events == [first] * TIMES
    assert (first.action, first.target, first.repository) == (pull.action, pull.target, "team/app")
    assert (first.digest, first.size, first.tags) == (digest_of(pull.content), len(pull.content), pull.tags)
    assert first.media_type == (OCTETS if pull.target is BLOB else json.loads(pull.content)["mediaType"])
    assert (first.caller.principal.name, first.caller.remote) == (None, "127.0.0.1")
    assert (first.caller.request_id, first.caller.user_agent) == ("run-1", "docker/28")
    assert not first.is_change
    assert (first.previous, first.source) == ({}, None)


async def test_an_image_that_stands_for_a_list_is_told_as_that_image(tmp_path: Path) -> None:
    seen, there = Seen(), {"os": "linux", "architecture": "amd64"}
    listed = index(IMAGE)
    document = json.loads(listed.content)
    document["manifests"][0]["platform"] = there
    content = json.dumps(document).encode()
    async with registry_with(tmp_path, seen, pyregistry={"default-platform": "linux/amd64"}) as client:
        await push_image(client, "app", IMAGE)
        typed = {"Content-Type": document["mediaType"]}
        assert (await ask(client, "PUT", "/v2/app/manifests/all", typed, content)).status == 201
        seen.since()
        old = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        assert (await ask(client, "GET", "/v2/app/manifests/all", old)).body == IMAGE.content
        (event,) = seen.since()
    assert (event.action, event.digest, event.tags) == (PULL, IMAGE.digest, ("all",))


async def test_the_user_of_a_password_and_the_client_behind_a_proxy_are_told(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
    async with registry_with(tmp_path) as client:
        await fill(client, tmp_path)
    seen, headers = Seen(), {**basic("alice", "secret"), "X-Forwarded-For": "192.0.2.7"}
    auth, own = auth_section(tmp_path / "htpasswd"), {"trusted-proxies": ["127.0.0.1"]}
    async with (
        registry_with(tmp_path, seen, auth=auth, pyregistry=own) as client,
        connected(client) as connection,
    ):
        assert (await connection.request("GET", "/v2/team/app/manifests/v1")).status == 401
        for _ in range(3):
            assert (await connection.request("GET", "/v2/team/app/manifests/v1", headers)).status == 200
        assert len(prepared(client)) == (2 if FAST_PATH else 4)  # the refused one, and the first
        callers = {(event.caller.principal.name, event.caller.remote) for event in seen.since()}
    assert callers == {("alice", "192.0.2.7")}


REFUSED = [
    ("GET", "/v2/team/app/manifests/none", {}, 404),
    ("HEAD", "/v2/team/app/manifests/none", {}, 404),
    ("GET", f"/v2/team/app/manifests/{digest_of(b'none')}", {}, 404),
    ("GET", f"/v2/team/app/blobs/{digest_of(b'none')}", {}, 404),
    ("HEAD", f"/v2/team/app/blobs/{digest_of(b'none')}", {}, 404),
    ("GET", f"/v2/team/app/blobs/{LAYER_DIGEST}", {"Range": "bytes=1000-"}, 416),
    ("GET", "/v2/team/app/tags/list", {}, 200),
    ("GET", "/v2/_catalog", {}, 200),
    ("GET", "/v2/", {}, 200),
    ("DELETE", "/v2/team/app/manifests/none", {}, 404),
    ("DELETE", f"/v2/team/app/manifests/{digest_of(b'none')}", {}, 404),
    ("DELETE", f"/v2/team/app/blobs/{digest_of(b'none')}", {}, 404),
    ("POST", f"/v2/new/blobs/uploads/?mount={digest_of(b'none')}&from=team/app", {}, 202),
    ("POST", f"/v2/new/blobs/uploads/?mount={LAYER_DIGEST}&from=none", {}, 202),
    ("PUT", "/v2/new/manifests/v1", {"Content-Type": OCI_MANIFEST}, 404),
    ("PUT", "/v2/team/app/manifests/v1", {"Content-Type": "text/plain"}, 415),
    ("PUT", f"/v2/team/app/manifests/{digest_of(b'none')}", {"Content-Type": OCI_MANIFEST}, 400),
    ("POST", f"/v2/new/blobs/uploads/?digest={digest_of(b'none')}", {}, 400),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), REFUSED)
async def test_what_fails_or_touches_no_content_is_not_told(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    seen = Seen()
    async with registry_with(tmp_path, seen) as client:
        await fill(client, tmp_path)
        seen.since()
        body = IMAGE.content if method in {"PUT", "POST"} else b""
        assert (await ask(client, method, path, headers, body if "mount" not in path else b"")).status == status
        assert seen.since() == []


async def test_a_blob_whose_client_leaves_in_the_middle_is_not_told(tmp_path: Path) -> None:
    seen, blob = Seen(), b"x" * 64 * 1024 * 1024
    async with registry_with(tmp_path, seen) as client:
        digest = digest_of(blob)
        assert (await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={digest}", {}, blob)).status == 201
        seen.since()
        async with connected(client) as connection:
            await connection.send(request_head("GET", f"/v2/app/blobs/{digest}"))
            await connection.wait_for_headers()
        log = client.server.access_log  # type: ignore[attr-defined] # of a RegistryServer
        async with asyncio.timeout(20):
            while digest.encode() not in log.getvalue().splitlines()[-1] or b"GET" not in log.getvalue():
                await asyncio.sleep(0.01)
        assert seen.since() == []


async def push_in_one_request(client: Client) -> None:
    answer = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={LAYER_DIGEST}", {}, LAYER)
    assert answer.status == 201


async def push_in_two_requests(client: Client) -> None:
    await push_blob(client, "app", LAYER)


async def push_in_chunks(client: Client) -> None:
    location = await start_upload(client, "app")
    for chunk in (LAYER[:3], LAYER[3:]):
        answer = await ask(client, "PATCH", location, {}, chunk)
        assert answer.status == 202
        location = path_of(answer.headers["Location"])
    assert (await ask(client, "PUT", f"{location}?digest={LAYER_DIGEST}")).status == 201


async def push_as_a_stream(client: Client) -> None:
    location = await start_upload(client, "app")

    async def pieces() -> object:
        yield LAYER[:3]
        await asyncio.sleep(0.05)
        yield LAYER[3:]

    response = await client.put(f"{location}?digest={LAYER_DIGEST}", data=pieces())
    assert response.status == 201


@pytest.mark.parametrize("push", [push_in_one_request, push_in_two_requests, push_in_chunks, push_as_a_stream])
async def test_a_pushed_blob_is_told_once(tmp_path: Path, push: object) -> None:
    seen = Seen()
    async with registry_with(tmp_path, seen) as client:
        await push(client)  # type: ignore[operator] # one of the above
        (event,) = seen.since()
    assert event[:4] == (EventAction.PUSH, BLOB, "app", LAYER_DIGEST)
    assert event[5:] == (OCTETS, len(LAYER), (), {}, None)
    assert event.is_change


async def pushed(client: Client, pushed_image: Image, path: str) -> None:
    typed = {"Content-Type": pushed_image.media_type}
    answer = await ask(client, "PUT", f"/v2/app/manifests/{path}", typed, pushed_image.content)
    assert answer.status == 201, answer


async def test_a_pushed_manifest_is_told_once_with_its_tags_and_what_they_named(tmp_path: Path) -> None:
    seen = Seen()
    async with registry_with(tmp_path, seen) as client:
        for blob in {*IMAGE.blobs, *OTHER.blobs}:
            await push_blob(client, "app", blob)
        seen.since()
        told = []
        for pushed_image, path in (
            (IMAGE, "v1"),
            (IMAGE, "v1"),
            (OTHER, "v1"),
            (OTHER, OTHER.digest),
            (OTHER, f"{OTHER.digest}?tag=v2&tag=v1&tag=v2"),
            (IMAGE, f"{IMAGE.digest}?tag=v2"),
        ):
            await pushed(client, pushed_image, path)
            (event,) = seen.since()
            assert event[:3] == (EventAction.PUSH, MANIFEST, "app")
            assert (event.digest, event.media_type) == (pushed_image.digest, OCI_MANIFEST)
            assert event.size == len(pushed_image.content)
            told.append((event.tags, event.previous))
    assert told == [
        (("v1",), {}),
        (("v1",), {"v1": IMAGE.digest}),
        (("v1",), {"v1": IMAGE.digest}),
        ((), {}),
        (("v2", "v1"), {"v1": OTHER.digest}),
        (("v2",), {"v2": OTHER.digest}),
    ]


async def test_a_large_manifest_is_told_as_others_are(tmp_path: Path) -> None:
    seen = Seen()
    async with registry_with(tmp_path, seen) as client:
        await fill(client, tmp_path)
        seen.since()
        await push_image(client, "team/app", LARGE, "large")
        event = seen.since()[-1]
    assert (event.digest, event.tags, event.previous) == (LARGE.digest, ("large",), {"large": LARGE.digest})


async def test_a_mount_and_each_kind_of_deletion_are_told_once(tmp_path: Path) -> None:
    seen = Seen()
    async with registry_with(tmp_path, seen) as client:
        await fill(client, tmp_path)
        await put_manifest(client, "team/app", IMAGE, "v2")
        seen.since()
        steps = [
            ("POST", f"/v2/new/blobs/uploads/?mount={LAYER_DIGEST}&from=team/app", 201),
            ("POST", f"/v2/any/blobs/uploads/?mount={LAYER_DIGEST}", 201),
            ("DELETE", "/v2/team/app/manifests/v2", 202),
            ("DELETE", f"/v2/team/app/manifests/{IMAGE.digest}", 202),
            ("DELETE", f"/v2/new/blobs/{LAYER_DIGEST}", 202),
        ]
        told = []
        for method, path, status in steps:
            assert (await ask(client, method, path)).status == status
            (event,) = seen.since()
            told.append((*event[:4], event.size, event.tags, event.source in {"team/app", "new"}))
    assert told == [
        (EventAction.MOUNT, BLOB, "new", LAYER_DIGEST, len(LAYER), (), True),
        (EventAction.MOUNT, BLOB, "any", LAYER_DIGEST, len(LAYER), (), True),
        (EventAction.DELETE, TAG, "team/app", IMAGE.digest, None, ("v2",), False),
        (EventAction.DELETE, MANIFEST, "team/app", IMAGE.digest, None, ("v1",), False),
        (EventAction.DELETE, BLOB, "new", LAYER_DIGEST, len(LAYER), (), False),
    ]


class Broken:
    """Observer that fails."""

    def observe(self, event: Event) -> None:
        raise RuntimeError("no such table")


async def test_an_observer_that_fails_is_logged_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    async with registry_with(tmp_path, Broken(), seen) as client:
        await fill(client, tmp_path)
        for _ in range(TIMES):
            assert (await ask(client, "GET", "/v2/team/app/manifests/v1")).status == 200
    assert len([event for event in seen.since() if event.action is PULL]) == TIMES
    lines = [json.loads(record.message) for record in caplog.records if record.name == "pyregistry.observers"]
    assert [(line["event"], line["observer"], line["failures"]) for line in lines] == [
        ("observer failed, its event is lost", "Broken", 1)
    ]
    assert "no such table" in lines[0]["exc_info"]


class Outbox(Seen):
    """Recorder that waits until the test lets it go on; looks whether the change is on the disk."""

    def __init__(self, link: Path, error: Exception | None = None) -> None:
        super().__init__()
        self._link, self._error = link, error
        self.may_go_on = asyncio.Event()
        self.was_durable: bool | None = None

    async def record(self, event: Event) -> None:
        if event.target is MANIFEST:
            self.was_durable = await asyncio.to_thread(self._link.exists)
            if self._error is not None:
                raise self._error
            await self.may_go_on.wait()


def tag_link(directory: Path) -> Path:
    return directory / "data/docker/registry/v2/repositories/app/_manifests/tags/v1/current/link"


async def test_a_recorder_is_told_when_the_push_is_durable_and_before_its_response(tmp_path: Path) -> None:
    outbox = Outbox(tag_link(tmp_path))
    async with registry_with(tmp_path, outbox) as client:
        for blob in IMAGE.blobs:
            await push_blob(client, "app", blob)
        push = asyncio.create_task(put_manifest(client, "app", IMAGE, "v1"))
        async with asyncio.timeout(20):
            while outbox.was_durable is None:
                await asyncio.sleep(0.01)
        assert outbox.was_durable
        assert outbox.since()[-1].digest == IMAGE.digest  # observed before it is recorded
        # Others are served while this response waits.
        assert (await ask(client, "GET", "/v2/app/manifests/v1")).body == IMAGE.content
        assert not push.done()
        outbox.may_go_on.set()
        assert (await push).status == 201


@pytest.mark.parametrize("error", [None, OSError("disk full")], ids=["never returns", "fails"])
async def test_a_recorder_cannot_make_a_push_fail(
    tmp_path: Path, error: Exception | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observers_module, "RECORD_SECONDS", 0.2)
    outbox = Outbox(tag_link(tmp_path), error)
    async with registry_with(tmp_path, outbox) as client:
        for blob in IMAGE.blobs:
            await push_blob(client, "app", blob)
        assert (await put_manifest(client, "app", IMAGE, "v1")).status == 201
    (line,) = (json.loads(record.message) for record in caplog.records if record.name == "pyregistry.observers")
    assert (line["observer"], line["failures"]) == ("Outbox", 1)


@fast_path_only("what it does not know switches it off")
async def test_a_middleware_that_the_fast_path_does_not_know_sees_every_pull(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passed: list[str] = []

    @web.middleware
    async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
        passed.append(request.path)
        return await handler(request)

    async with registry_with(tmp_path, middlewares=[audit]) as client:
        await fill(client, tmp_path)
        passed.clear()
        async with connected(client) as connection:
            for _ in range(TIMES):
                assert (await connection.request("GET", "/v2/team/app/manifests/v1")).body == IMAGE.content
        assert len(prepared(client)) >= TIMES
    assert passed == ["/v2/team/app/manifests/v1"] * TIMES
    lines = [record.message for record in caplog.records if "fast path off: requests must pass" in record.message]
    assert len(lines) == 1
    assert "audit" in lines[0]
