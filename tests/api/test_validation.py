"""`validation.manifests`: what an index and a layer with urls may refer to."""

import json

import pytest

from tests.builders import LAYER, Image, descriptor, image, index
from tests.conftest import StartRegistry
from tests.push import assert_error, push_blob, put_manifest

LINUX, WINDOWS = image(b"for linux"), image(b"for windows")


def two_platforms() -> Image:
    """An index of two images, neither of which is pushed, with their platforms."""
    document = json.loads(index(LINUX, WINDOWS).content)
    for child, system in zip(document["manifests"], ("linux", "windows"), strict=True):
        child["platform"] = {"os": system, "architecture": "amd64"}
    return Image(json.dumps(document).encode(), index().media_type)


@pytest.mark.parametrize(
    ("indexes", "missing"),
    [
        ({}, [LINUX.digest, WINDOWS.digest]),
        ({"platforms": "all"}, [LINUX.digest, WINDOWS.digest]),
        ({"platforms": "none"}, []),
        ({"platforms": "list", "platformlist": [{"os": "windows", "architecture": "amd64"}]}, [WINDOWS.digest]),
        ({"platforms": "list", "platformlist": [{"os": "windows", "architecture": "arm64"}]}, []),
    ],
    ids=["nothing said", "all", "none", "one of them", "another one"],
)
async def test_manifests_of_these_platforms_must_be_here(
    start_registry: StartRegistry, indexes: dict[str, object], missing: list[str]
) -> None:
    client = await start_registry(validation={"manifests": {"indexes": indexes}})
    response = await put_manifest(client, "app", two_platforms())
    if missing:
        entries = (await response.json())["errors"]
        assert [entry["detail"]["digest"] for entry in entries] == missing
    else:
        assert response.status == 201


@pytest.mark.parametrize(
    ("urls", "accepted"),
    [
        ({}, True),
        ({"allow": [r"^https://layers\.example\.org/"]}, True),
        ({"allow": [r"^https://other\.example\.org/"]}, False),
        ({"allow": [r"example"], "deny": [r"layers\."]}, False),
        ({"deny": [r"^http://"]}, True),
    ],
    ids=["nothing said", "allowed", "not among the allowed", "allowed and denied", "not among the denied"],
)
async def test_a_layer_that_is_fetched_elsewhere_comes_from_a_place_that_is(
    start_registry: StartRegistry, urls: dict[str, object], accepted: bool
) -> None:
    client = await start_registry(validation={"manifests": {"urls": urls}})
    layer = descriptor(b"elsewhere", LAYER, urls=["https://layers.example.org/a"])
    pushed = image(b"here", layers=[layer])
    await push_blob(client, "app", b"{}")
    response = await put_manifest(client, "app", pushed)
    if accepted:
        assert response.status == 201
    else:
        detail = (await assert_error(response, 400, "MANIFEST_INVALID"))["detail"]
        assert "https://layers.example.org/a" in detail


async def test_the_rule_of_the_cncf_documentation_takes_no_time_that_grows_with_each_dot(
    start_registry: StartRegistry,
) -> None:
    # With `re` each "a." doubles the time, while no other request is answered: two to the power of 40 steps.
    rule = r"^https?://([^/]+\.)*example\.com/"
    client = await start_registry(validation={"manifests": {"urls": {"allow": [rule]}}})
    await push_blob(client, "app", b"{}")
    for url, status in [("https://" + "a." * 40 + "x", 400), ("https://" + "a." * 40 + "example.com/x", 201)]:
        layer = descriptor(b"elsewhere", LAYER, urls=[url])
        response = await put_manifest(client, "app", image(b"here", layers=[layer]))
        assert response.status == status


@pytest.mark.parametrize(
    "url",
    ["https://a\n.evil.test/", "https://ev\nil.test/", "https://evil.test\x7f/", "https://a b/", "https://a\u2028b"],
)
async def test_a_url_that_clients_read_otherwise_than_a_rule_is_refused(
    start_registry: StartRegistry, url: str
) -> None:
    rules = {"allow": [".*"], "deny": [r"^https?://(.*\.)?evil\.test/"]}
    client = await start_registry(validation={"manifests": {"urls": rules}})
    await push_blob(client, "app", b"{}")
    layer = descriptor(b"elsewhere", LAYER, urls=[url])
    assert (await put_manifest(client, "app", image(b"here", layers=[layer]))).status == 400
