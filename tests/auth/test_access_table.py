"""Every route for every caller, as a literal table: who is let through, who is to log in, who is denied."""

import re
from pathlib import Path

import pytest

from pyregistry.api.routes import ENDPOINTS, Endpoint
from tests.auth.rules import ADMIN, CI, GUEST, bearer, start_with_rules, token_for
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask

_UPLOAD = "4f6f1f5c-5c2c-4c1e-9d2c-000000000000"
_DIGEST = digest_of(b"nothing")

# A column is a caller: nothing at all, the Basic header of each user, then tokens, each for pull, push and delete of
# the repository and for the catalog: anonymous, the CI user's, and one of the CI user's for another repository.
# /metrics is not there unless it is switched on: who may read it then, tests/workers/test_metrics.py shows.
# "in": let through, whatever the storage then says. 401: could log in or get another token. 403: known, and denied.
CALLERS = ("nobody", "admin", "ci", "guest", "token of nobody", "token of ci", "token of ci for another")
TABLE = """
GET     /v2/                                     | 401 in  in  in  in  in  in
HEAD    /v2/                                     | 401 in  in  in  in  in  in
GET     /v2/_catalog                             | 401 in  in  in  in  in  401
GET     /auth/token                              | in  in  in  in  401 401 401
POST    /auth/token                              | in  in  in  in  in  in  in
GET     /                                        | in  in  in  in  in  in  in
HEAD    /                                        | in  in  in  in  in  in  in
GET     /livez                                   | in  in  in  in  in  in  in
HEAD    /livez                                   | in  in  in  in  in  in  in
GET     /readyz                                  | in  in  in  in  in  in  in
HEAD    /readyz                                  | in  in  in  in  in  in  in
GET     /metrics                                 | 401 in  in  in  in  in  in
*       /nowhere                                 | 401 in  in  in  in  in  in
GET     /v2/public/app/manifests/latest          | in  in  in  in  in  in  401
HEAD    /v2/public/app/manifests/latest          | in  in  in  in  in  in  401
PUT     /v2/public/app/manifests/latest          | 401 in  403 403 401 403 403
DELETE  /v2/public/app/manifests/latest          | 401 in  403 403 401 403 403
POST    /v2/public/app/blobs/uploads/            | 401 in  403 403 401 403 403
GET     /v2/public/app/blobs/uploads/<upload>    | 401 in  403 403 401 403 403
HEAD    /v2/public/app/blobs/uploads/<upload>    | 401 in  403 403 401 403 403
PATCH   /v2/public/app/blobs/uploads/<upload>    | 401 in  403 403 401 403 403
PUT     /v2/public/app/blobs/uploads/<upload>    | 401 in  403 403 401 403 403
DELETE  /v2/public/app/blobs/uploads/<upload>    | 401 in  403 403 401 403 403
GET     /v2/public/app/blobs/<digest>            | in  in  in  in  in  in  401
HEAD    /v2/public/app/blobs/<digest>            | in  in  in  in  in  in  401
DELETE  /v2/public/app/blobs/<digest>            | 401 in  403 403 401 403 403
GET     /v2/public/app/tags/list                 | in  in  in  in  in  in  401
GET     /v2/public/app/referrers/<digest>        | in  in  in  in  in  in  401
GET     /v2/ci/app/manifests/latest              | 401 in  in  403 401 in  401
HEAD    /v2/ci/app/manifests/latest              | 401 in  in  403 401 in  401
PUT     /v2/ci/app/manifests/latest              | 401 in  in  403 401 in  401
DELETE  /v2/ci/app/manifests/latest              | 401 in  403 403 401 403 403
POST    /v2/ci/app/blobs/uploads/                | 401 in  in  403 401 in  401
GET     /v2/ci/app/blobs/uploads/<upload>        | 401 in  in  403 401 in  401
HEAD    /v2/ci/app/blobs/uploads/<upload>        | 401 in  in  403 401 in  401
PATCH   /v2/ci/app/blobs/uploads/<upload>        | 401 in  in  403 401 in  401
PUT     /v2/ci/app/blobs/uploads/<upload>        | 401 in  in  403 401 in  401
DELETE  /v2/ci/app/blobs/uploads/<upload>        | 401 in  in  403 401 in  401
GET     /v2/ci/app/blobs/<digest>                | 401 in  in  403 401 in  401
HEAD    /v2/ci/app/blobs/<digest>                | 401 in  in  403 401 in  401
DELETE  /v2/ci/app/blobs/<digest>                | 401 in  403 403 401 403 403
GET     /v2/ci/app/tags/list                     | 401 in  in  403 401 in  401
GET     /v2/ci/app/referrers/<digest>            | 401 in  in  403 401 in  401
GET     /v2/private/manifests/latest             | 401 in  403 403 401 403 403
HEAD    /v2/private/manifests/latest             | 401 in  403 403 401 403 403
PUT     /v2/private/manifests/latest             | 401 in  403 403 401 403 403
DELETE  /v2/private/manifests/latest             | 401 in  403 403 401 403 403
POST    /v2/private/blobs/uploads/               | 401 in  403 403 401 403 403
GET     /v2/private/blobs/uploads/<upload>       | 401 in  403 403 401 403 403
HEAD    /v2/private/blobs/uploads/<upload>       | 401 in  403 403 401 403 403
PATCH   /v2/private/blobs/uploads/<upload>       | 401 in  403 403 401 403 403
PUT     /v2/private/blobs/uploads/<upload>       | 401 in  403 403 401 403 403
DELETE  /v2/private/blobs/uploads/<upload>       | 401 in  403 403 401 403 403
GET     /v2/private/blobs/<digest>               | 401 in  403 403 401 403 403
HEAD    /v2/private/blobs/<digest>               | 401 in  403 403 401 403 403
DELETE  /v2/private/blobs/<digest>               | 401 in  403 403 401 403 403
GET     /v2/private/tags/list                    | 401 in  403 403 401 403 403
GET     /v2/private/referrers/<digest>           | 401 in  403 403 401 403 403
"""
ROWS = [tuple(line.split("|")) for line in TABLE.strip().splitlines()]


def _template(endpoint: Endpoint, name: str) -> str:
    path = re.sub(r"\{name:\(\?s:\.\+\)\}", name, endpoint.path)
    path = path.replace("{slash:/?}", "/").replace("{path:(?s:.*)}", "nowhere")
    path = path.replace("{reference:[^/]+}", "latest").replace("{upload:[^/]+}", "<upload>")
    return path.replace("{digest:[^/]+}", "<digest>")


def test_the_table_has_every_route_with_every_kind_of_repository() -> None:
    written = [" ".join(row.split()) for row, _ in ROWS]
    expected = set()
    for endpoint in ENDPOINTS:
        names = ["public/app", "ci/app", "private"] if "{name:" in endpoint.path else [""]
        expected |= {f"{endpoint.method} {_template(endpoint, name)}" for name in names}
    assert len(written) == len(set(written))
    assert set(written) == expected


@pytest.mark.parametrize("column", range(len(CALLERS)), ids=CALLERS)
async def test_every_route_answers_every_caller_as_the_table_says(
    start_registry: StartRegistry, tmp_path: Path, column: int
) -> None:
    client = await start_with_rules(start_registry, tmp_path)
    wrong = []
    for row, cells in ROWS:
        method, path = row.split()
        method = "REPORT" if method == "*" else method
        headers = await _headers(client, column, path)
        path = path.replace("<upload>", _UPLOAD).replace("<digest>", _DIGEST)
        answer = await ask(client, method, path, headers)
        found = str(answer.status) if answer.status in {401, 403} else "in"
        assert answer.status < 500
        assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
        if found != cells.split()[column]:
            wrong.append(f"{row.strip()}: {found}, expected {cells.split()[column]}")
    assert not wrong


async def _headers(client: Client, column: int, path: str) -> dict[str, str]:
    if column < 4:
        return [{}, ADMIN, CI, GUEST][column]
    name = re.sub(r"^/v2/|/(manifests|blobs|tags|referrers)/.*", "", path)
    if column == 6:
        return bearer(await token_for(client, CI, ["repository:ci/another:*"]))
    scopes = [f"repository:{name}:pull,push,delete", "registry:catalog:*"]
    return bearer(await token_for(client, {} if column == 4 else CI, scopes))


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
@pytest.mark.parametrize(("headers", "status"), [({}, 401), (GUEST, 403)], ids=["nobody", "a user without the right"])
async def test_nobody_is_told_to_go_on_with_a_body_that_is_refused(
    start_registry: StartRegistry, tmp_path: Path, method: str, headers: dict[str, str], status: int
) -> None:
    client = await start_with_rules(start_registry, tmp_path)
    path = "/v2/ci/app/blobs/uploads/" + ("" if method == "POST" else _UPLOAD)
    answer = await ask(client, method, path, {**headers, "Expect": "100-continue", "Content-Length": "1000000"})
    answer.assert_error(status, "UNAUTHORIZED" if status == 401 else "DENIED")
    assert not list(tmp_path.glob("data/docker/registry/v2/repositories/*"))
