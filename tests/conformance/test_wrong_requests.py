"""Each kind of wrong request: its status, its code, its headers and one sentence about it.

Together they are the column "Failure" of the spec's table "Endpoints" and the rows of its table "Error Codes".
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.builders import OCI_MANIFEST, image
from tests.conformance.situation import IMAGE, NEW, SENT, Call, fill
from tests.conftest import StartRegistry
from tests.push import SPEC_CODES, Client, assert_error

_TYPED = {"Content-Type": OCI_MANIFEST}
_OTHER = image(b"a layer that is not there")
_UPLOADS = "/v2/{name}/blobs/uploads/"
_CLOSE = {"Connection": "close"}
"""Header of the response to a client that sends an unwanted body."""
_AT = {"Range": "0-9", "Location": "{upload location}", "Docker-Upload-Uuid": "{upload id}", **_CLOSE}
_ALLOW = {"Allow": "DELETE, GET, HEAD, PUT, OPTIONS"}

Row = tuple[Call, int, str, dict[str, str]]

WRONG: list[Row] = [
    (Call("end-1", "POST", "/v2/"), 405, "UNSUPPORTED", {"Allow": "GET, HEAD, OPTIONS"}),
    (Call("end-2", "GET", "/v2/{name}/blobs/{missing}"), 404, "BLOB_UNKNOWN", {}),
    (Call("end-2", "GET", "/v2/nobody/blobs/{blob}"), 404, "BLOB_UNKNOWN", {}),
    (Call("end-2", "GET", "/v2/{name}/blobs/latest"), 400, "DIGEST_INVALID", {}),
    (
        Call("end-2", "GET", "/v2/{name}/blobs/{blob}", headers={"Range": "bytes=9-"}),
        416,
        "SIZE_INVALID",
        {"Content-Range": "bytes */9"},
    ),
    (Call("end-3", "GET", "/v2/{name}/manifests/missing"), 404, "MANIFEST_UNKNOWN", {}),
    (Call("end-3", "GET", "/v2/{name}/manifests/{missing}"), 404, "MANIFEST_UNKNOWN", {}),
    (Call("end-3", "GET", "/v2/{name}/manifests/sha256:x"), 400, "DIGEST_INVALID", {}),
    (Call("end-3", "GET", "/v2/Capital/manifests/latest"), 400, "NAME_INVALID", {}),
    (Call("end-3", "PATCH", "/v2/{name}/manifests/latest"), 405, "UNSUPPORTED", _ALLOW),
    (Call("end-4a", "POST", "/v2/Capital/blobs/uploads/"), 400, "NAME_INVALID", {}),
    (Call("end-4b", "POST", _UPLOADS + "?digest={missing}", NEW), 400, "DIGEST_INVALID", {}),
    (Call("end-4b", "POST", _UPLOADS + "?digest=md5:x", NEW), 400, "DIGEST_INVALID", _CLOSE),
    (Call("end-4c", "POST", _UPLOADS + "?digest-algorithm=md5"), 400, "DIGEST_INVALID", {}),
    (Call("end-5", "PATCH", "{unknown upload}", NEW), 404, "BLOB_UPLOAD_UNKNOWN", _CLOSE),
    (Call("end-5", "PATCH", "{upload}", b"x", {"Content-Range": "11-11"}), 416, "BLOB_UPLOAD_INVALID", _AT),
    (Call("end-5", "PATCH", "{upload}", b"x", {"Content-Range": "x"}), 416, "BLOB_UPLOAD_INVALID", _AT),
    (Call("end-5", "PATCH", "{upload}", b"x", {"Content-Range": "10-11"}), 400, "SIZE_INVALID", _CLOSE),
    (Call("end-6", "PUT", "{unknown upload}?digest={new}", NEW), 404, "BLOB_UPLOAD_UNKNOWN", _CLOSE),
    (Call("end-6", "PUT", "{upload}?digest={new}"), 400, "DIGEST_INVALID", {}),
    (Call("end-6", "PUT", "{upload}"), 400, "DIGEST_INVALID", {}),
    (Call("end-6", "PUT", "{upload}?digest={sent}", SENT, {"Content-Range": "0-9"}), 416, "BLOB_UPLOAD_INVALID", _AT),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/v2", _OTHER.content, _TYPED), 404, "MANIFEST_BLOB_UNKNOWN", {}),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/v2", b"{}", _TYPED), 400, "MANIFEST_INVALID", {}),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/v2", IMAGE.content), 415, "MANIFEST_INVALID", {}),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/.v2", IMAGE.content, _TYPED), 400, "MANIFEST_INVALID", _CLOSE),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/{missing}", IMAGE.content, _TYPED), 400, "DIGEST_INVALID", {}),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/v2", b" " * 5_001, _TYPED), 413, "SIZE_INVALID", _CLOSE),
    (
        Call("end-7b", "PUT", "/v2/{name}/manifests/{manifest}?tag=.", IMAGE.content, _TYPED),
        400,
        "MANIFEST_INVALID",
        _CLOSE,
    ),
    (
        Call("end-7b", "PUT", f"/v2/{{name}}/manifests/{_OTHER.digest}?tag=1", _OTHER.content, _TYPED),
        404,
        "MANIFEST_BLOB_UNKNOWN",
        {},
    ),
    (
        Call("end-7b", "PUT", "/v2/{name}/manifests/{missing}?tag=1", b" " * 5_001, _TYPED),
        413,
        "SIZE_INVALID",
        _CLOSE,
    ),
    (Call("end-8a", "GET", "/v2/nobody/tags/list"), 404, "NAME_UNKNOWN", {}),
    (Call("end-8a", "DELETE", "/v2/{name}/tags/list"), 405, "UNSUPPORTED", {"Allow": "GET, OPTIONS"}),
    (Call("end-8b", "GET", "/v2/{name}/tags/list?n=-1"), 400, "PAGINATION_NUMBER_INVALID", {}),
    (Call("end-8b", "GET", "/v2/nobody/tags/list?n=1"), 404, "NAME_UNKNOWN", {}),
    (Call("end-9", "DELETE", "/v2/{name}/manifests/missing"), 404, "MANIFEST_UNKNOWN", {}),
    (Call("end-9", "DELETE", "/v2/nobody/manifests/{manifest}"), 404, "MANIFEST_UNKNOWN", {}),
    (Call("end-9", "DELETE", "/v2/{name}/manifests/sha256:x"), 400, "DIGEST_INVALID", {}),
    (Call("end-10", "DELETE", "/v2/{name}/blobs/{missing}"), 404, "BLOB_UNKNOWN", {}),
    (Call("end-10", "DELETE", "/v2/{name}/blobs/sha256:x"), 400, "DIGEST_INVALID", {}),
    (Call("end-12a", "GET", "/v2/{name}/referrers/latest"), 400, "DIGEST_INVALID", {}),
    (Call("end-12a", "GET", "/v2/Capital/referrers/{subject}"), 400, "NAME_INVALID", {}),
    (Call("end-12b", "GET", "/v2/{name}/referrers/latest?artifactType=a/b"), 400, "DIGEST_INVALID", {}),
    (Call("end-13", "GET", "{unknown upload}"), 404, "BLOB_UPLOAD_UNKNOWN", {}),
    (Call("end-13", "GET", "/v2/other/blobs/uploads/{upload id}"), 404, "BLOB_UPLOAD_UNKNOWN", {}),
    (Call("end-14", "DELETE", "{unknown upload}"), 404, "BLOB_UPLOAD_UNKNOWN", {}),
    (Call("none", "GET", "/v2/{name}"), 404, "NAME_UNKNOWN", {}),
    (Call("none", "GET", "/v1/_ping"), 404, "NAME_UNKNOWN", {}),
]

WITHOUT_DELETE: list[Row] = [
    (Call("end-9", "DELETE", "/v2/{name}/manifests/latest"), 405, "UNSUPPORTED", {}),
    (Call("end-9", "DELETE", "/v2/{name}/manifests/{manifest}"), 405, "UNSUPPORTED", {}),
    (Call("end-10", "DELETE", "/v2/{name}/blobs/{blob}"), 405, "UNSUPPORTED", {}),
]
ANONYMOUS: list[Row] = [
    (Call("end-1", "GET", "/v2/"), 401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="conformance"'}),
]
_USERS = "conformance:$2y$05$dn2DpDn3WF.mSN2ajM.5guOC9TH3z6uxUV2Hrz0YuPkYOm23HWncu\n"

_EVERYWHERE = {"content-length", "content-type", "date", "docker-distribution-api-version", "server", "x-request-id"}
_WITHOUT_DETAIL = {"UNAUTHORIZED"}

FAILURE: Mapping[str, tuple[set[int], set[int]]] = {
    "end-1": ({404, 401}, {404}),
    "end-2": ({404}, set()),
    "end-3": ({404}, set()),
    "end-4a": ({404}, {404}),
    "end-4b": ({404, 400}, {404}),
    "end-4c": ({404, 400}, {404}),
    "end-5": ({404, 416}, set()),
    "end-6": ({404, 400, 416}, set()),
    "end-7a": ({404, 413}, set()),
    "end-7b": ({404, 413}, set()),
    "end-8a": ({404}, set()),
    "end-8b": ({404}, set()),
    "end-9": ({404, 400, 405}, set()),
    "end-10": ({404, 400, 405}, set()),
    "end-11": ({404}, {404}),
    "end-12a": ({404, 400}, {404}),
    "end-12b": ({404, 400}, {404}),
    "end-13": ({404}, set()),
    "end-14": ({404, 400}, {400}),
}
"""The spec's column, and what of it this server never answers: it is a registry, a push makes the repository, a mount
that fails begins an upload, there is a referrers API, and an upload can be cancelled."""


def _rows(rows: list[Row]) -> pytest.MarkDecorator:
    params = [pytest.param(*row, id=f"{row[0].id} {row[0].method} {row[0].target} {row[1]} {row[2]}") for row in rows]
    return pytest.mark.parametrize(("call", "status", "code", "headers"), params)


@_rows(WRONG)
async def test_a_wrong_request_is_answered_with_its_status_code_and_headers(
    start_registry: StartRegistry, call: Call, status: int, code: str, headers: dict[str, str]
) -> None:
    storage = {"inmemory": {}, "delete": {"enabled": True}}
    client = await start_registry(storage=storage, pyregistry={"limits": {"manifest-size": 5_000}})
    await fill(client)
    await _assert_refused(client, call, status, code, headers)


@_rows(WITHOUT_DELETE)
async def test_a_deletion_that_is_switched_off_answers_405(
    start_registry: StartRegistry, call: Call, status: int, code: str, headers: dict[str, str]
) -> None:
    client = await start_registry(storage={"inmemory": {}})
    await fill(client)
    await _assert_refused(client, call, status, code, headers)
    assert (await client.get("/v2/conformance/repo1/manifests/latest")).status == 200


@_rows(ANONYMOUS)
async def test_who_does_not_say_who_it_is_gets_401_with_a_challenge(
    start_registry: StartRegistry, tmp_path: Path, call: Call, status: int, code: str, headers: dict[str, str]
) -> None:
    (tmp_path / "htpasswd").write_text(_USERS)
    section = {"htpasswd": {"realm": "conformance", "path": str(tmp_path / "htpasswd")}}
    client = await start_registry(auth=section)
    response = await client.request(call.method, call.target)
    await assert_error(response, status, code)
    assert _own(response.headers) == {name.lower(): value for name, value in headers.items()}


def test_every_failure_in_the_specs_table_of_endpoints_is_provoked_or_cannot_happen() -> None:
    rows = [*WRONG, *WITHOUT_DELETE, *ANONYMOUS]
    for endpoint, (wanted, never) in FAILURE.items():
        provoked = {status for call, status, *_ in rows if call.id == endpoint}
        assert wanted - provoked == never, endpoint


def test_every_code_of_the_spec_is_provoked_but_the_two_that_nothing_raises_yet() -> None:
    provoked = {code for _, _, code, _ in [*WRONG, *WITHOUT_DELETE, *ANONYMOUS]}
    assert SPEC_CODES - provoked == {"DENIED", "TOOMANYREQUESTS"}
    assert provoked <= SPEC_CODES | {"PAGINATION_NUMBER_INVALID"}


async def _assert_refused(client: Client, call: Call, status: int, code: str, headers: dict[str, str]) -> None:
    response, places = await call.send(client)
    entry = await assert_error(response, status, code)
    expected = {name.lower(): value.format_map(places) for name, value in headers.items()}
    assert _own(response.headers) == expected
    assert ("detail" in entry) == (code not in _WITHOUT_DETAIL)
    if "detail" in entry:
        _assert_helpful(entry["detail"], call.target.format_map(places) + call.body.decode())


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _EVERYWHERE}


def _assert_helpful(detail: object, request: str) -> None:
    """One sentence, or the name of the one thing that was asked for and is not there."""
    if isinstance(detail, dict):
        ((word, value),) = detail.items()
        assert word in {"digest", "reference", "name", "upload"}
        assert value in request
    else:
        assert isinstance(detail, str)
        assert detail == " ".join(detail.split())
        assert ". " not in detail
        assert not detail.endswith(".")
        assert 3 < len(detail.split()) < 40
