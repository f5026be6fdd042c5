"""Whatever goes wrong, the answer is the spec's envelope, and nothing of the inside leaves."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pyregistry.api.routes import ENDPOINTS
from pyregistry.storage.local.appending import LocalAppender, LocalLockedFile
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.uploads import SMALL_BYTES
from tests.builders import digest_of, image
from tests.conftest import StartRegistry
from tests.push import SPEC_CODES, Client, assert_envelope, push_image, start_upload
from tests.raw import RawAnswer, ask, connected, send_bytes

_IMAGE = image()
_LAYER = _IMAGE.blobs[1]
_LARGE = b"x" * (SMALL_BYTES + 1)
"""A body that is not taken at once."""
_UPLOAD = "4f6f1f5c-5c2c-4c1e-9d2c-000000000000"
_VALUES = {
    "name": ["app", "none", "BAD", "..%2F..", "%00", "a" * 300, "%0A"],
    "reference": ["none", _IMAGE.digest, digest_of(b"none"), "sha256:bad", ".bad", "%00", "%2e%2e%2f"],
    "digest": [digest_of(b"none"), digest_of(b"none", "sha512"), "sha256:bad", "none", "%00"],
    "upload": [_UPLOAD, "bad", "%00", "..%2f"],
    "path": ["", "nowhere", "v2/app", "%00", "..%2f..%2fetc%2fpasswd"],
    "slash": ["", "/"],
}
_QUERIES = ["", "?n=x", "?last=%00&n=1&n=2", "?digest=bad", "?mount=bad&from=BAD", "?tag=.bad", "?digest-algorithm=md5"]
_FAILURES = {
    errno.ENOSPC: (507, "UNAVAILABLE"),
    errno.EDQUOT: (507, "UNAVAILABLE"),
    errno.EROFS: (503, "UNAVAILABLE"),
    errno.EMFILE: (503, "UNAVAILABLE"),
    errno.ENFILE: (503, "UNAVAILABLE"),
    errno.EIO: (500, "UNKNOWN"),
    errno.EBUSY: (500, "UNKNOWN"),
}
"""Errors of an operation of the storage, and the responses that the client sees."""


def _assert_shape(answer: RawAnswer) -> None:
    code = answer.json()["errors"][0]["code"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert_envelope(answer.body.decode(), answer.status, code)


def _fill(template: str) -> list[str]:
    """Every path that the values make of a row of the endpoint table."""
    paths = [template]
    for name in re.findall(r"\{(\w+):", template):
        paths = [
            re.sub(rf"\{{{name}:[^{{}}]+\}}", lambda _, value=value: value, path)  # type: ignore[misc] # mypy cannot type a default
            for path in paths
            for value in _VALUES[name]
        ]
    return paths


@pytest.mark.parametrize("path", dict.fromkeys(endpoint.path for endpoint in ENDPOINTS))
async def test_every_endpoint_says_no_in_the_same_shape(client: Client, path: str) -> None:
    await push_image(client, "app", _IMAGE, "latest")
    refused = 0
    for target in _fill(path):
        async with connected(client) as connection:
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"]:
                answer = await connection.request(method, target + _QUERIES[refused % len(_QUERIES)])
                if answer.status >= 400:
                    refused += 1
                    assert answer.status < 500
                    _assert_shape(answer)
    assert refused >= 5


async def test_malformed_http_is_refused_in_the_same_shape(client: Client) -> None:
    for data in [b"\r\n\r\nnonsense\r\n\r\n", b"GET / HTTP/9.9.9\r\n\r\n", b"\x00" * 300, b"GET " + b"a" * 110_000]:
        _assert_shape(await send_bytes(client, data))


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a file where the repositories belong": lambda root: _replace(root / "repositories"),
    "a file where a repository belongs": lambda root: _replace(root / "repositories/app"),
    "a file where the manifests belong": lambda root: _replace(root / "repositories/app/_manifests"),
    "a file where the tags belong": lambda root: _replace(root / "repositories/app/_manifests/tags"),
    "a file where the layers belong": lambda root: _replace(root / "repositories/app/_layers"),
    "a file where the uploads belong": lambda root: _replace(root / "repositories/app/_uploads"),
    "a file where the blobs belong": lambda root: _replace(root / "blobs"),
    "a loop of links where a repository belongs": lambda root: _loop(root / "repositories/app"),
    "directories where links belong": lambda root: _make_directories([*root.rglob("link")]),
    "directories where blobs belong": lambda root: _make_directories([*root.rglob("data")]),
    "links without a digest": lambda root: [path.write_bytes(b"\xff\0/etc/passwd") for path in root.rglob("link")],
    "no private directory": lambda root: shutil.rmtree(root.parents[2] / ".pyregistry"),
    "a file where the private directory belongs": lambda root: _replace(root.parents[2] / ".pyregistry"),
    "nothing at all": lambda root: shutil.rmtree(root.parents[2]),
}


def _replace(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("not a directory")


def _loop(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to(path)


def _make_directories(files: list[Path]) -> None:
    for path in files:
        path.unlink()
        path.mkdir()


async def _call_everything(client: Client, location: str) -> list[RawAnswer]:
    layer = digest_of(_LAYER)
    calls = [
        ("GET", "/v2/", b""),
        ("GET", "/v2/_catalog", b""),
        ("GET", "/v2/app/tags/list", b""),
        ("GET", "/v2/app/manifests/latest", b""),
        ("GET", f"/v2/app/manifests/{_IMAGE.digest}", b""),
        ("GET", f"/v2/app/referrers/{_IMAGE.digest}", b""),
        ("GET", f"/v2/app/blobs/{layer}", b""),
        ("GET", location, b""),
        ("PATCH", location, _LARGE),
        ("PATCH", location, b"body"),
        ("PUT", f"{location}?digest={digest_of(b'body')}", b""),
        ("POST", "/v2/app/blobs/uploads/", b""),
        ("POST", f"/v2/app/blobs/uploads/?digest={digest_of(b'x')}", b"x"),
        ("POST", f"/v2/new/blobs/uploads/?mount={layer}", b""),
        ("PUT", "/v2/app/manifests/latest", _IMAGE.content),
        ("DELETE", "/v2/app/manifests/latest", b""),
        ("DELETE", f"/v2/app/manifests/{_IMAGE.digest}", b""),
        ("DELETE", f"/v2/app/blobs/{layer}", b""),
        ("DELETE", location, b""),
    ]
    return [await ask(client, method, path, body=body) for method, path, body in calls]


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES)
async def test_a_damaged_directory_shows_nothing_of_itself(
    client: Client, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    await push_image(client, "app", _IMAGE, "latest")
    location = await start_upload(client, "app")
    damage(tmp_path / "data/docker/registry/v2")
    for answer in await _call_everything(client, location):
        if answer.status >= 400:
            _assert_shape(answer)
    assert (await ask(client, "GET", "/v2/")).status == 200


class _Failing(FilesystemDriver):
    """A real directory of which one operation begins to fail when `failure` is set."""

    operation = ""
    failure: Exception | None = None

    def __getattribute__(self, name: str) -> Any:
        failure: Exception | None = _Failing.failure
        if failure is not None and name == _Failing.operation:
            raise failure
        return super().__getattribute__(name)


# The first is only called for a repository that is new.
_OPERATIONS = [
    *("make_directory", "read", "write", "create", "stat", "children", "move", "delete", "source", "lock"),
    *("appender", "open_locked"),
]
_INSIDE = "/srv/registry/docker/registry/v2/secret.py"


@pytest.fixture
async def failing(start_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A registry on a directory that can be made to fail; it holds an image."""
    monkeypatch.setattr("pyregistry.storage.backend.FilesystemDriver", _Failing)
    monkeypatch.setattr(_Failing, "failure", None)
    monkeypatch.setattr(_Failing, "operation", "")
    return await start_registry()


async def _call_while(client: Client, operation: str, failure: Exception) -> list[RawAnswer]:
    await push_image(client, "app", _IMAGE, "latest")
    location = await start_upload(client, "app")
    _Failing.operation, _Failing.failure = operation, failure
    try:
        return await _call_everything(client, location)
    finally:
        _Failing.failure = None


@pytest.mark.parametrize("number", _FAILURES, ids=errno.errorcode.get)
async def test_what_the_operating_system_refuses_has_a_status_of_its_own(failing: Client, number: int) -> None:
    status, code = _FAILURES[number]
    for operation in ["read", "write", "create", "stat", "move", "appender", "open_locked"]:
        failed = [
            answer
            for answer in await _call_while(failing, operation, OSError(number, os.strerror(number), _INSIDE))
            if answer.status >= 500
        ]
        assert failed, operation
        for answer in failed:
            entry = answer.assert_error(status, code)
            assert "secret" not in answer.body.decode()
            named = f"request {answer.headers['X-Request-ID']}"
            assert entry["detail"] == named if status == 500 else entry["detail"].endswith(f" ({named})")
            assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("operation", "method", "path", "status", "code"),
    [
        ("read", "GET", "/v2/app/manifests/latest", 500, "UNKNOWN"),
        ("create", "POST", "/v2/app/blobs/uploads/", 503, "UNAVAILABLE"),
    ],
)
async def test_a_missing_right_is_503_for_a_write_and_500_for_a_read(
    failing: Client, number: int, operation: str, method: str, path: str, status: int, code: str
) -> None:
    await push_image(failing, "app", _IMAGE, "latest")
    _Failing.operation, _Failing.failure = operation, OSError(number, os.strerror(number), _INSIDE)
    try:
        async with connected(failing) as connection:
            answer = await connection.request(method, path)
    finally:
        _Failing.failure = None
    answer.assert_error(status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "secret" not in answer.body.decode()


async def test_an_unexpected_exception_is_500_for_the_client_and_a_traceback_for_the_log(
    failing: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for operation in _OPERATIONS:
        caplog.clear()
        answers = await _call_while(failing, operation, RuntimeError(f"secret of {_INSIDE}"))
        failed = [answer for answer in answers if answer.status >= 500]
        assert failed, operation
        for answer in failed:
            entry = {
                "code": "UNKNOWN",
                "message": "unknown error",
                "detail": f"request {answer.headers['X-Request-ID']}",
            }
            assert answer.json() == {"errors": [entry]}
        assert "secret of" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("rest", [b", end", _LARGE], ids=["taken at once", "arriving"])
async def test_a_disk_that_is_full_in_the_middle_of_a_body_is_507_and_the_upload_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch, number: int, rest: bytes
) -> None:
    async def refuse(appender: LocalAppender, data: bytes) -> NoReturn:
        raise OSError(number, os.strerror(number), _INSIDE)

    def refuse_at_once(held: LocalLockedFile, pieces: Sequence[memoryview]) -> None:
        if any(pieces):
            raise OSError(number, os.strerror(number), _INSIDE)

    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=b"begin")).status == 202
    with monkeypatch.context() as full:
        full.setattr(LocalAppender, "write", refuse)
        full.setattr(LocalLockedFile, "write_now", refuse_at_once)
        for method, path in [("PATCH", location), ("PUT", f"{location}?digest={digest_of(b'begin' + rest)}")]:
            (await ask(client, method, path, body=rest)).assert_error(507, "UNAVAILABLE")
    assert (await ask(client, "GET", location)).headers["Range"] == "0-4"
    finished = await ask(client, "PUT", f"{location}?digest={digest_of(b'begin' + rest)}", body=rest)
    assert finished.status == 201


def test_the_codes_that_we_check_against_are_the_fourteen_of_the_spec() -> None:
    assert len(SPEC_CODES) == 14
