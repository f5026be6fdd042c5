"""Headers that every answer has: ours, those of the config, and warnings."""

import pytest

from tests.builders import OCI_INDEX, digest_of, index
from tests.conftest import StartRegistry
from tests.push import Client, put_manifest
from tests.raw import ask

_NOWHERE = digest_of(b"nowhere")
_CALLS = [
    ("GET", "/v2/", 200),
    ("HEAD", "/v2/", 200),
    ("OPTIONS", "/v2/", 204),
    ("TRACE", "/v2/", 405),
    ("GET", "/nowhere", 404),
    ("GET", "/v2/_catalog", 200),
    ("GET", "/v2/_catalog?n=x", 400),
    ("GET", "/v2/app/manifests/latest", 200),
    ("HEAD", "/v2/app/manifests/latest", 200),
    ("HEAD", "/v2/app/manifests/none", 404),
    ("GET", f"/v2/app/blobs/{_NOWHERE}", 404),
    ("GET", f"/v2/app/referrers/{_NOWHERE}", 200),
    ("POST", "/v2/app/blobs/uploads/", 202),
    ("POST", f"/v2/app/blobs/uploads/?digest={digest_of(b'')}", 201),
    ("GET", f"/v2/app/blobs/{digest_of(b'')}", 200),
    ("PUT", "/v2/app/manifests/latest", 400),
    ("GET", "/v2/BAD/tags/list", 400),
]


async def _ready(client: Client) -> Client:
    assert (await put_manifest(client, "app", index(), "latest")).status == 201
    return client


async def test_every_answer_has_the_headers_of_the_config(start_registry: StartRegistry) -> None:
    headers = {
        "X-Content-Type-Options": ["nosniff"],
        "Access-Control-Allow-Origin": ["https://a.test", "https://b.test"],
    }
    client = await _ready(await start_registry(http={"headers": headers}))
    for method, path, status in _CALLS:
        answer = await ask(client, method, path)
        assert answer.status == status
        for name, values in headers.items():
            assert answer.headers.getall(name) == values


async def test_a_header_of_the_config_that_ends_in_a_newline_is_one_line(start_registry: StartRegistry) -> None:
    client = await start_registry(http={"headers": {"X-Block": ["a block\nof YAML\n"]}})
    answer = await ask(client, "GET", "/v2/")
    assert (answer.status, answer.headers["X-Block"]) == (200, "a block of YAML")


async def test_headers_are_spelled_as_the_cncf_registry_spells_them(client: Client) -> None:
    await _ready(client)
    for method, path, _ in _CALLS:
        names = [str(name) for name in (await ask(client, method, path)).headers]
        assert "Docker-Distribution-Api-Version" in names
        assert ("Docker-Upload-Uuid" in names) == (method == "POST" and path.endswith("/uploads/"))


async def test_every_answer_says_which_api_it_is_and_no_version(client: Client) -> None:
    await _ready(client)
    for method, path, _ in _CALLS:
        answer = await ask(client, method, path)
        assert answer.headers.getall("Docker-Distribution-Api-Version") == ["registry/2.0"]
        assert answer.headers.getall("Server") == ["pyregistry"]
        assert "X-Powered-By" not in answer.headers
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        ([], []),
        (["This registry moves on Friday."], ['299 - "This registry moves on Friday."']),
        (["one", "two"], ['299 - "one"', '299 - "two"']),
        (['say "hi" \\ bye'], ['299 - "say \\"hi\\" \\\\ bye"']),
        (["a block\nof YAML\n"], ['299 - "a block of YAML"']),
    ],
)
async def test_warnings_of_the_config_are_headers_of_every_answer(
    start_registry: StartRegistry, sentences: list[str], expected: list[str]
) -> None:
    client = await _ready(await start_registry(pyregistry={"warnings": sentences}))
    for method, path, status in _CALLS:
        answer = await ask(client, method, path)
        assert answer.status == status
        assert answer.headers.getall("Warning", []) == expected


async def test_the_type_of_a_list_of_referrers_is_not_json(client: Client) -> None:
    answer = await ask(client, "HEAD", "/v2/app/manifests/none")
    assert answer.headers["Content-Type"] == "application/json"
    answer = await ask(client, "GET", f"/v2/app/referrers/{_NOWHERE}")
    assert answer.headers["Content-Type"] == OCI_INDEX
