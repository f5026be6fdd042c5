"""Names, tags, digests and upload ids in paths: reliability.md, section 4, rows 4 to 7."""

from pathlib import Path

import pytest

from tests.builders import digest_of, image
from tests.push import Client, path_of, put_manifest
from tests.raw import ask

_DIGEST = digest_of(b"nothing")

_BAD_NAMES = {
    "capital letters": "App",
    "a leading dash": "-app",
    "a trailing dot": "app.",
    "three underscores": "a___b",
    "two dots": "a..b",
    "mixed separators": "a._b",
    "an encoded empty component": "team%2F%2Fapp",
    "an encoded leading slash": "%2Fapp",
    "a dot": ".",
    "two dots alone": "..",
    "encoded dots": "%2e%2e",
    "dots between": "team/../app",
    "encoded slashes and dots": "..%2F..%2Fetc",
    "encoded dots within": "team%2F..%2F..%2Fapp",
    "a backslash": "team%5Capp",
    "backslash traversal": "..%5C..%5Cetc",
    "NUL": "app%00",
    "NUL before more": "app%00.txt",
    "a trailing newline": "app%0A",
    "a newline within": "team%0Aapp",
    "a carriage return": "app%0D",
    "a space": "app%20",
    "a tab": "app%09",
    "a percent sign": "app%25",
    "a double encoding": "%252e%252e",
    "a colon": "app:x",
    "a leading underscore": "_layers",
    "an internal directory": "app/_manifests/tags",
    "unicode digits": "%EF%BC%91%EF%BC%92",
    "arabic digits": "app%D9%A1",
    "unicode letters": "%C3%A9",
    "a ligature that folds to ASCII": "%EF%AC%81",
    "the Kelvin sign": "%E2%84%AA",
    "broken UTF-8": "%ff%fe",
    "a surrogate": "%ED%A0%80",
    "an overlong slash": "..%C0%AF..",
    "256 characters": "a" * 256,
    "129 components": "/".join("a" * 129),
    "7,000 bytes": "a" * 7_000,
    "a pattern made to backtrack": "a" * 200 + "-" * 3_000 + "!",
}
_GOOD_NAMES = ["a", "0", "a__b", "a_b", "a.b", "a-b", "a---b", "team/app", "a" * 255, "/".join("a" * 128)]
_NAMED_CALLS = [
    ("GET", "/v2/{}/tags/list"),
    ("GET", "/v2/{}/manifests/latest"),
    ("PUT", "/v2/{}/manifests/latest"),
    ("DELETE", "/v2/{}/manifests/latest"),
    ("GET", "/v2/{}/blobs/" + _DIGEST),
    ("DELETE", "/v2/{}/blobs/" + _DIGEST),
    ("GET", "/v2/{}/referrers/" + _DIGEST),
    ("POST", "/v2/{}/blobs/uploads/"),
    ("PATCH", "/v2/{}/blobs/uploads/4f6f1f5c-5c2c-4c1e-9d2c-000000000000"),
]


@pytest.mark.parametrize("name", [pytest.param(name, id=fact) for fact, name in _BAD_NAMES.items()])
async def test_a_bad_name_is_answered_400_name_invalid(client: Client, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for method, path in _NAMED_CALLS:
        answer = await ask(client, method, path.format(name))
        answer.assert_error(400, "NAME_INVALID")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", _GOOD_NAMES)
async def test_a_good_name_is_taken(client: Client, name: str) -> None:
    assert (await ask(client, "POST", f"/v2/{name}/blobs/uploads/")).status == 202


@pytest.mark.parametrize(
    "name", ["blobs", "manifests", "tags", "uploads", "a/blobs/uploads", "a/manifests/b", "a/tags/list", "a/referrers"]
)
async def test_a_name_may_hold_the_words_of_the_api(client: Client, name: str) -> None:
    empty = image(b"")
    for blob in empty.blobs:
        answer = await ask(client, "POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", body=blob)
        assert answer.status == 201, answer
        assert (await ask(client, "GET", f"/v2/{name}/blobs/{digest_of(blob)}")).body == blob
    assert (await put_manifest(client, name, empty, "list")).status == 201
    assert (await ask(client, "GET", f"/v2/{name}/tags/list")).json() == {"name": name, "tags": ["list"]}
    assert (await ask(client, "GET", f"/v2/{name}/manifests/list")).body == empty.content


_BAD_TAGS = {
    "a leading dot": ".tag",
    "a leading dash": "-tag",
    "two dots": "..",
    "encoded dots": "%2e%2e",
    "an encoded slash": "a%2Fb",
    "encoded traversal": "..%2F..%2F..%2Fetc",
    "a backslash": "a%5Cb",
    "NUL": "tag%00",
    "a trailing newline": "tag%0A",
    "a space": "a%20b",
    "a plus sign": "1.0+build",
    "a percent sign": "100%25",
    "unicode digits": "%EF%BC%91",
    "unicode letters": "caf%C3%A9",
    "broken UTF-8": "%ff",
    "129 characters": "a" * 129,
    "7,000 bytes": "a" * 7_000,
}


@pytest.mark.parametrize("tag", [pytest.param(tag, id=fact) for fact, tag in _BAD_TAGS.items()])
async def test_a_bad_tag_is_unknown_to_a_pull_and_invalid_to_a_push(client: Client, tag: str) -> None:
    (await ask(client, "GET", f"/v2/app/manifests/{tag}")).assert_error(404, "MANIFEST_UNKNOWN")
    content = image()
    answer = await ask(client, "PUT", f"/v2/app/manifests/{tag}", {"Content-Type": content.media_type}, content.content)
    answer.assert_error(400, "MANIFEST_INVALID")
    (await ask(client, "DELETE", f"/v2/app/manifests/{tag}")).assert_error(400, "MANIFEST_INVALID")


@pytest.mark.parametrize("tag", ["a", "_", "0", "Latest", "a" * 128, "v1.0_x-y", "sha256-" + "0" * 64 + ".sig"])
async def test_a_good_tag_is_taken(client: Client, tag: str) -> None:
    content = b'{"schemaVersion": 2, "manifests": []}'
    assert (await ask(client, "PUT", f"/v2/app/manifests/{tag}", body=content)).status == 201
    assert (await ask(client, "GET", f"/v2/app/manifests/{tag}")).body == content


_BAD_DIGESTS = {
    "no hexadecimal digits": "sha256:",
    "63 digits": "sha256:" + "a" * 63,
    "65 digits": "sha256:" + "a" * 65,
    "capital digits": "sha256:" + "A" * 64,
    "another letter": "sha256:" + "g" * 64,
    "a capital algorithm": "SHA256:" + "a" * 64,
    "an unknown algorithm": "md5:" + "a" * 32,
    "no algorithm": ":" + "a" * 64,
    "the length of the other algorithm": "sha512:" + "a" * 64,
    "two algorithms": "sha256+b64u:" + "a" * 64,
    "an encoded colon, then nothing": "sha256%3A",
    "a trailing newline": "sha256:" + "a" * 64 + "%0A",
    "NUL": "sha256:" + "a" * 64 + "%00",
    "traversal": "sha256:..%2F..%2F" + "a" * 54,
    "unicode digits": "sha256:" + "%EF%BC%91" * 64,
    "a space": "sha256:%20" + "a" * 63,
    "7,000 bytes": "sha256:" + "a" * 7_000,
}


@pytest.mark.parametrize("digest", [pytest.param(digest, id=fact) for fact, digest in _BAD_DIGESTS.items()])
async def test_a_bad_digest_is_answered_400_digest_invalid(client: Client, digest: str) -> None:
    for method, noun in [
        ("GET", "blobs"),
        ("DELETE", "blobs"),
        ("GET", "manifests"),
        ("PUT", "manifests"),
        ("DELETE", "manifests"),
        ("GET", "referrers"),
    ]:
        answer = await ask(client, method, f"/v2/app/{noun}/{digest}")
        answer.assert_error(400, "DIGEST_INVALID")


async def test_a_blob_is_not_found_by_a_tag(client: Client) -> None:
    (await ask(client, "GET", "/v2/app/blobs/latest")).assert_error(400, "DIGEST_INVALID")


_BAD_UPLOADS = {
    "capital letters": "4F6F1F5C-5C2C-4C1E-9D2C-000000000000",
    "no dashes": "4f6f1f5c5c2c4c1e9d2c000000000000",
    "braces": "%7B4f6f1f5c-5c2c-4c1e-9d2c-000000000000%7D",
    "a word": "latest",
    "two dots": "..",
    "encoded traversal": "..%2F..%2F_manifests",
    "a trailing newline": "4f6f1f5c-5c2c-4c1e-9d2c-000000000000%0A",
    "NUL": "4f6f1f5c-5c2c-4c1e-9d2c-000000000000%00",
    "unicode digits": "%EF%BC%91" * 8 + "-5c2c-4c1e-9d2c-000000000000",
    "7,000 bytes": "a" * 7_000,
    "an id that was never given": "4f6f1f5c-5c2c-4c1e-9d2c-000000000000",
}


@pytest.mark.parametrize("upload", [pytest.param(upload, id=fact) for fact, upload in _BAD_UPLOADS.items()])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_a_bad_upload_is_answered_404_blob_upload_unknown(client: Client, method: str, upload: str) -> None:
    query = f"?digest={_DIGEST}" if method == "PUT" else ""
    answer = await ask(client, method, f"/v2/app/blobs/uploads/{upload}{query}")
    answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_an_upload_of_another_repository_is_unknown(client: Client, method: str) -> None:
    location = path_of((await ask(client, "POST", "/v2/app/blobs/uploads/")).headers["Location"])
    query = f"?digest={_DIGEST}" if method == "PUT" else ""
    foreign = location.replace("/v2/app/", "/v2/other/")
    (await ask(client, method, foreign + query)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    assert (await ask(client, "GET", location)).status == 204
