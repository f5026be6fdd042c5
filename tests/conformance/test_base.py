"""The program's `ping` and `empty`, and what every answer carries (end-1, "Warnings")."""

import json

import pytest
from multidict import CIMultiDict

from tests.builders import OCI_INDEX, digest_of, image
from tests.conformance import leaves
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, push_image, start_upload

_NAME = "conformance/repo1"
_SENTENCES = ["This registry moves on Sunday.", 'Ask "the team" \\o/\n', "Grüße"]


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_end_1_the_root_of_the_api_answers_200(client: Client, method: str, path: str) -> None:
    response = await client.request(method, path, allow_redirects=False)
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert await response.read() == (b"{}" if method == "GET" else b"")


async def test_end_8a_the_tags_of_a_repository_that_does_not_exist_are_404(client: Client) -> None:
    await assert_error(await client.get(f"/v2/{_NAME}/tags/list"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_end_12a_the_referrers_of_what_does_not_exist_are_an_empty_index(client: Client, algorithm: str) -> None:
    response = await client.get(f"/v2/{_NAME}/referrers/{digest_of(b'nothing', algorithm)}")
    assert response.status == 200
    assert response.headers["Content-Type"] == OCI_INDEX
    assert "Link" not in response.headers
    document = json.loads(await response.read())
    assert document == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


async def test_end_3_and_9_a_manifest_in_a_repository_that_does_not_exist_is_404(client: Client) -> None:
    for reference in ("latest", digest_of(b"nothing")):
        path = f"/v2/{_NAME}/manifests/{reference}"
        await assert_error(await client.get(path), 404, "MANIFEST_UNKNOWN")
        await assert_error(await client.delete(path), 404, "MANIFEST_UNKNOWN")
        assert (await client.head(path)).status == 404


async def test_end_8a_a_repository_whose_tags_are_all_deleted_has_an_empty_list(client: Client) -> None:
    pushed = image()
    await push_image(client, _NAME, pushed)
    assert await leaves.list_tags(client, _NAME) == []
    await leaves.push_manifest(client, _NAME, pushed, "latest")
    assert await leaves.list_tags(client, _NAME) == ["latest"]
    await leaves.delete_manifest(client, _NAME, "latest")
    assert await leaves.list_tags(client, _NAME) == []


async def test_warnings_have_code_299_agent_hyphen_and_no_date_on_every_answer(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"warnings": _SENTENCES})
    pushed = image()
    await push_image(client, _NAME, pushed, "latest")
    paths = ["/v2/", f"/v2/{_NAME}/manifests/latest", f"/v2/{_NAME}/blobs/{digest_of(b'layer one')}"]
    paths += [f"/v2/{_NAME}/tags/list", "/v2/unknown/tags/list", "/nowhere", await start_upload(client, _NAME)]
    for path in paths:
        response = await client.get(path)
        assert response.headers.getall("Warning") == [
            '299 - "This registry moves on Sunday."',
            '299 - "Ask \\"the team\\" \\\\o/"',
            '299 - "Grüße"',
        ]


async def test_without_warnings_in_the_config_no_answer_has_a_warning_header(client: Client) -> None:
    assert "Warning" not in (await client.get("/v2/")).headers
    assert "Warning" not in (await client.get("/v2/unknown/tags/list")).headers


@pytest.mark.parametrize(
    ("sentences", "sent"),
    [
        pytest.param(["x" * 4088], 1, id="exactly 4096 bytes"),
        pytest.param(["x" * 4089], 0, id="a byte more"),
        pytest.param(["é" * 2045], 0, id="bytes, not characters"),
        pytest.param(["x" * 92] * 60, 40, id="100 bytes each"),
    ],
)
async def test_warnings_never_have_more_than_4096_bytes_together(
    start_registry: StartRegistry, sentences: list[str], sent: int
) -> None:
    client = await start_registry(pyregistry={"warnings": sentences})
    assert (await client.get("/v2/")).headers.getall("Warning", []) == [f'299 - "{text}"' for text in sentences[:sent]]


async def test_end_3_a_head_has_the_headers_of_a_get(client: Client) -> None:
    await push_image(client, _NAME, image(), "latest")
    for path in ("/v2/", f"/v2/{_NAME}/manifests/latest", f"/v2/{_NAME}/blobs/{digest_of(b'layer one')}"):
        got, headed = [_lasting((await client.request(method, path)).headers) for method in ("GET", "HEAD")]
        assert got == headed


def _lasting(headers: object) -> CIMultiDict[str]:
    lasting = CIMultiDict[str](headers)  # type: ignore[arg-type] # of aiohttp, the same kind
    del lasting["Date"], lasting["X-Request-ID"]
    return lasting
