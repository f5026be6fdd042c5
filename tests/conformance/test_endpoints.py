"""The spec's table "Endpoints": the column "Success", row by row. Its column "Failure" is in test_wrong_requests."""

from collections.abc import Iterable

import pytest

from pyregistry.api.routes import ENDPOINTS
from tests.builders import OCI_MANIFEST
from tests.conformance.situation import IMAGE, NEW, Call, fill
from tests.push import Client

_TYPED = {"Content-Type": OCI_MANIFEST}
_ANY = {"Content-Length", "Content-Type", "Date", "Docker-Distribution-Api-Version", "Server", "X-Request-ID"}
_THING = {"Docker-Content-Digest", "ETag"}
_BLOB = {*_THING, "Accept-Ranges", "Cache-Control"}
_UPLOAD = {"Docker-Upload-Uuid", "Location", "Range"}
_CREATED = {"Docker-Content-Digest", "Location"}

SUCCESS = [
    (Call("end-1", "GET", "/v2/"), 200, set()),
    (Call("end-2", "GET", "/v2/{name}/blobs/{blob}"), 200, _BLOB),
    (Call("end-2", "HEAD", "/v2/{name}/blobs/{blob}"), 200, _BLOB),
    (Call("end-3", "GET", "/v2/{name}/manifests/{manifest}"), 200, _THING),
    (Call("end-3", "GET", "/v2/{name}/manifests/latest"), 200, _THING),
    (Call("end-3", "HEAD", "/v2/{name}/manifests/{manifest}"), 200, _THING),
    (Call("end-3", "HEAD", "/v2/{name}/manifests/latest"), 200, _THING),
    (Call("end-4a", "POST", "/v2/{name}/blobs/uploads/"), 202, _UPLOAD),
    (Call("end-4b", "POST", "/v2/{name}/blobs/uploads/?digest={new}", NEW), 201, _CREATED),
    (Call("end-4c", "POST", "/v2/{name}/blobs/uploads/?digest-algorithm=sha256"), 202, _UPLOAD),
    (Call("end-4c", "POST", "/v2/{name}/blobs/uploads/?digest-algorithm=sha512"), 202, _UPLOAD),
    (Call("end-5", "PATCH", "{empty}", NEW), 202, _UPLOAD),
    (Call("end-5", "PATCH", "{upload}", b"next", {"Content-Range": "10-13"}), 202, _UPLOAD),
    (Call("end-6", "PUT", "{empty}?digest={new}", NEW), 201, _CREATED),
    (Call("end-6", "PUT", "{upload}?digest={sent}"), 201, _CREATED),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/v2", IMAGE.content, _TYPED), 201, _CREATED),
    (Call("end-7a", "PUT", "/v2/{name}/manifests/{manifest}", IMAGE.content, _TYPED), 201, _CREATED),
    (
        Call("end-7b", "PUT", "/v2/{name}/manifests/{manifest}?tag=1&tag=2&tag=3", IMAGE.content, _TYPED),
        201,
        {*_CREATED, "OCI-Tag"},
    ),
    (Call("end-8a", "GET", "/v2/{name}/tags/list"), 200, set()),
    (Call("end-8b", "GET", "/v2/{name}/tags/list?n=3&last=a"), 200, set()),
    (Call("end-9", "DELETE", "/v2/{name}/manifests/latest"), 202, set()),
    (Call("end-9", "DELETE", "/v2/{name}/manifests/{manifest}"), 202, set()),
    (Call("end-10", "DELETE", "/v2/{name}/blobs/{blob}"), 202, set()),
    (Call("end-11", "POST", "/v2/other/blobs/uploads/?mount={blob}&from={name}"), 201, _CREATED),
    (Call("end-11", "POST", "/v2/other/blobs/uploads/?mount={missing}&from={name}"), 202, _UPLOAD),
    (Call("end-12a", "GET", "/v2/{name}/referrers/{subject}"), 200, set()),
    (
        Call("end-12b", "GET", "/v2/{name}/referrers/{subject}?artifactType=application/vnd.test.sbom"),
        200,
        {"OCI-Filters-Applied"},
    ),
    (Call("end-13", "GET", "{upload}"), 204, _UPLOAD),
    (Call("end-13", "HEAD", "{upload}"), 204, _UPLOAD),
    (Call("end-14", "DELETE", "{upload}"), 204, {"Docker-Upload-Uuid"}),
]


@pytest.mark.parametrize(
    ("call", "status", "headers"),
    [pytest.param(*row, id=f"{row[0].id} {row[0].method} {row[0].target} {row[1]}") for row in SUCCESS],
)
async def test_an_endpoint_answers_with_the_status_of_the_spec_and_exactly_its_headers(
    client: Client, call: Call, status: int, headers: set[str]
) -> None:
    await fill(client)
    response, _ = await call.send(client)
    assert response.status == status, await response.text()
    assert _lower(response.headers) - _lower(_ANY) == _lower(headers)
    if call.method == "HEAD" or status in {201, 202, 204}:
        assert await response.read() == b""


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def test_every_endpoint_of_the_spec_is_in_the_route_table_and_in_this_one() -> None:
    ids = {f"end-{number}" for number in (1, 2, 3, 5, 6, 9, 10, 11, 13, 14)}
    ids |= {f"end-{number}" for number in ("4a", "4b", "4c", "7a", "7b", "8a", "8b", "12a", "12b")}
    assert {call.id for call, *_ in SUCCESS} == ids
    assert {name for endpoint in ENDPOINTS for name in endpoint.spec.split()} == ids | {"docker", "none"}
