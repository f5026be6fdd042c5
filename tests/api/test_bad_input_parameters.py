"""Query parameters and the headers that are values of their own: reliability.md, section 4, rows 8 to 10, 21 to 29."""

from urllib.parse import quote, unquote

import pytest

from tests.builders import digest_of, image, index
from tests.push import Client, path_of, push_blob, push_image, start_upload
from tests.raw import ask, chunked

_DIGEST = digest_of(b"nothing")
_INDEX = index()

_FULL_WIDTH = "\xef\xbc\x91"
"""The digit one of Japanese typography, which `int()` reads as 1, in the UTF-8 bytes of a header."""
_BAD_NUMBERS = ["-1", "+1", "1.5", "1e3", "0x10", "1_0", "%201", "ten", "%EF%BC%91", "1%0A", "9" * 20, "9" * 5_000]
_BAD_NUMBERS += ["%2B-1", "%2B", "%2B%2B1", "-0"]


@pytest.mark.parametrize("n", _BAD_NUMBERS, ids=[number[:24] for number in _BAD_NUMBERS])
@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/app/tags/list", f"/v2/app/referrers/{_DIGEST}"])
async def test_a_bad_n_is_answered_400(client: Client, path: str, n: str) -> None:
    await push_image(client, "app", _INDEX, "latest")
    (await ask(client, "GET", f"{path}?n={n}")).assert_error(400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/app/tags/list", f"/v2/app/referrers/{_INDEX.digest}"])
async def test_an_empty_n_or_last_is_none_at_all(client: Client, path: str) -> None:
    await push_image(client, "app", _INDEX, "latest")
    await push_image(client, "app", image(subject=_INDEX.descriptor()))
    everything = (await ask(client, "GET", path)).json()
    for query in ("n=", "last=", "n=&last=", "n=5", "n=%2B5", "n=00005"):
        answer = await ask(client, "GET", f"{path}?{query}")
        assert (answer.status, answer.json()) == (200, everything)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/_catalog?n=1&n=2",
        "/v2/_catalog?last=a&last=b",
        "/v2/app/tags/list?n=1&n=1",
        "/v2/app/tags/list?last=a&last=b",
        f"/v2/app/referrers/{_DIGEST}?n=1&n=1",
        f"/v2/app/referrers/{_DIGEST}?last=a&last=b",
        f"/v2/app/referrers/{_DIGEST}?artifactType=a&artifactType=b",
    ],
)
async def test_of_a_parameter_of_a_list_given_twice_the_first_counts(client: Client, path: str) -> None:
    await push_image(client, "app", _INDEX, "latest")
    answer = await ask(client, "GET", path)
    assert (answer.status, answer.body) == (200, (await ask(client, "GET", path.rpartition("&")[0])).body)


_HOSTILE = ["..", "..%2F..", "%00", "a%00b", "%0A", "%5C", "a" * 300, "a/" * 3_000, "%ff", "%ED%A0%80", "_layers"]


@pytest.mark.parametrize("last", _HOSTILE, ids=[last[:24] for last in _HOSTILE])
async def test_a_last_that_is_no_name_is_a_position_in_the_catalog(client: Client, last: str) -> None:
    names = ["0", "a", "a/b", "zzz"]
    for name in names:
        await push_image(client, name, _INDEX)
    answer = await ask(client, "GET", f"/v2/_catalog?last={last}")
    position = unquote(last, errors="replace").split("/")
    behind = [name for name in names if name.split("/") > position]
    assert (answer.status, answer.json()["repositories"]) == (200, behind)


@pytest.mark.parametrize("last", _HOSTILE, ids=[last[:24] for last in _HOSTILE])
async def test_a_last_that_is_no_tag_is_only_compared(client: Client, last: str) -> None:
    await push_image(client, "app", _INDEX, "zzz")
    answer = await ask(client, "GET", f"/v2/app/tags/list?last={last}")
    assert answer.status == 200
    assert set(answer.json()["tags"]) <= {"zzz"}
    assert (await ask(client, "GET", f"/v2/app/referrers/{_DIGEST}?last={last}")).json()["manifests"] == []


@pytest.mark.parametrize("filtered", ["", "no-type", "a/b/c", "%00", "a/" + "b" * 5_000, "%ff"])
async def test_an_artifact_type_that_is_none_finds_nothing(client: Client, filtered: str) -> None:
    await push_image(client, "app", image(subject=_INDEX.descriptor()))
    answer = await ask(client, "GET", f"/v2/app/referrers/{_INDEX.digest}?artifactType={filtered}")
    assert (answer.status, answer.json()["manifests"]) == (200, [])


@pytest.mark.parametrize("tag", [".a", "a/b", "%00", "a%0A", "", "a" * 129, "%EF%BC%91"])
async def test_a_bad_tag_parameter_is_answered_400_and_nothing_is_stored(client: Client, tag: str) -> None:
    path = f"/v2/app/manifests/{_INDEX.digest}"
    answer = await ask(client, "PUT", f"{path}?tag=good&tag={tag}", body=_INDEX.content)
    answer.assert_error(400, "MANIFEST_INVALID")
    (await ask(client, "GET", path)).assert_error(404, "MANIFEST_UNKNOWN")
    (await ask(client, "GET", "/v2/app/manifests/good")).assert_error(404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(("count", "status"), [(10, 201), (32, 201), (33, 400)])
async def test_a_push_by_digest_names_at_most_32_tags(client: Client, count: int, status: int) -> None:
    query = "&".join(f"tag=t{number}" for number in range(count))
    answer = await ask(client, "PUT", f"/v2/app/manifests/{_INDEX.digest}?{query}", body=_INDEX.content)
    assert answer.status == status


async def test_a_push_by_tag_with_tag_parameters_is_answered_400(client: Client) -> None:
    answer = await ask(client, "PUT", "/v2/app/manifests/latest?tag=other", body=_INDEX.content)
    answer.assert_error(400, "MANIFEST_INVALID")


_BAD_DIGESTS = ["", "sha256:", "sha256:xyz", "md5:" + "a" * 32, _DIGEST.upper(), _DIGEST + "%0A", _DIGEST + "%00"]


@pytest.mark.parametrize("digest", _BAD_DIGESTS, ids=[digest[-24:] or "nothing" for digest in _BAD_DIGESTS])
async def test_a_bad_digest_parameter_is_answered_400(client: Client, digest: str) -> None:
    location = await start_upload(client, "app")
    for method, path in [
        ("PUT", f"{location}?digest={digest}"),
        ("POST", f"/v2/app/blobs/uploads/?digest={digest}"),
    ]:
        (await ask(client, method, path, body=b"nothing")).assert_error(400, "DIGEST_INVALID")
    assert (await ask(client, "GET", location)).headers["Range"] == "0-0"


async def test_a_closing_put_without_digest_or_whose_first_is_bad_is_answered_400(client: Client) -> None:
    location = await start_upload(client, "app")
    (await ask(client, "PUT", location)).assert_error(400, "DIGEST_INVALID")
    (await ask(client, "PUT", f"{location}?digest=x&digest={_DIGEST}")).assert_error(400, "DIGEST_INVALID")
    assert (await ask(client, "GET", location)).status == 204


@pytest.mark.parametrize("second", [_DIGEST, "x", ""])
async def test_of_two_digests_the_first_counts(client: Client, second: str) -> None:
    query = f"?digest={_DIGEST}&digest={second}"
    location = await start_upload(client, "app")
    assert (await ask(client, "PUT", location + query, body=b"nothing")).status == 201
    assert (await ask(client, "POST", "/v2/app/blobs/uploads/" + query, body=b"nothing")).status == 201


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "SHA256", "sha384", "", "blake3", "../sha256"])
async def test_an_unknown_digest_algorithm_is_answered_400_and_an_empty_one_ignored(
    client: Client, algorithm: str
) -> None:
    answer = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest-algorithm={quote(algorithm, safe='')}")
    if algorithm:
        answer.assert_error(400, "DIGEST_INVALID")
    else:
        assert answer.status == 202


@pytest.mark.parametrize(
    "content_range",
    [
        *("abc", "0", "-3", "0-", "3-0", "-1-2", "0-3-5", "0 - 3", "0x0-0x3", "0-3/", "0-3/x", "0-3, 4-7"),
        *("bytes", "bytes */4", "bits 0-3", f"0-{_FULL_WIDTH}", "9" * 20 + "-" + "9" * 20, "1-4", "4-7"),
    ],
)
async def test_a_wrong_content_range_is_answered_416_with_range_and_location(
    client: Client, content_range: str
) -> None:
    location = await start_upload(client, "app")
    answer = await ask(client, "PATCH", location, {"Content-Range": content_range}, b"body")
    answer.assert_error(416, "BLOB_UPLOAD_INVALID")
    assert answer.headers["Range"] == "0-0"
    assert path_of(answer.headers["Location"]) == location


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_content_range_behind_or_before_the_offset_is_answered_416(client: Client, method: str) -> None:
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, {"Content-Range": "0-3"}, b"body")).status == 202
    for content_range in ["0-3", "3-6", "5-8", "400-403"]:
        query = f"?digest={_DIGEST}" if method == "PUT" else ""
        answer = await ask(client, method, location + query, {"Content-Range": content_range}, b"more")
        answer.assert_error(416, "BLOB_UPLOAD_INVALID")
        assert (answer.headers["Range"], path_of(answer.headers["Location"])) == ("0-3", location)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_content_range_of_another_length_is_answered_400(client: Client, method: str) -> None:
    location = await start_upload(client, "app")
    query = f"?digest={_DIGEST}" if method == "PUT" else ""
    for content_range in ["0-2", "0-4"]:
        answer = await ask(client, method, location + query, {"Content-Range": content_range}, b"body")
        answer.assert_error(400, "SIZE_INVALID")
    assert (await ask(client, "GET", location)).headers["Range"] == "0-0"


@pytest.mark.parametrize("content_range", ["0-2", "0-4"])
async def test_the_bytes_of_a_chunked_body_are_counted_against_content_range(
    client: Client, content_range: str
) -> None:
    location = await start_upload(client, "app")
    headers = {"Content-Range": content_range, "Transfer-Encoding": "chunked"}
    (await ask(client, "PATCH", location, headers, chunked(b"bo", b"dy"))).assert_error(400, "SIZE_INVALID")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("bytes=10-", 416),
        ("bytes=10-20", 416),
        ("bytes=-0", 416),
        ("bytes=5-3", 416),
        ("bytes=100-200,300-400", 416),
        ("bytes=" + "9" * 19 + "-", 416),
        ("bytes=" + "9" * 20 + "-", 200),
        ("bytes=a-b", 200),
        (f"bytes={_FULL_WIDTH}-{_FULL_WIDTH}", 200),
        ("bytes=1_0-", 200),
        ("bytes=+1-2", 200),
        ("bytes=--1", 200),
        ("bytes=", 200),
        ("bytes", 200),
        ("", 200),
        ("items=0-1", 200),
        ("bytes=0-1;2-3", 200),
        ("bytes=0-9,0-9", 200),
        ("bytes=,", 200),
        ("bytes=" + ",".join(["0-0"] * 4_001), 200),
    ],
)
async def test_a_range_that_makes_no_sense_is_ignored_and_one_outside_is_answered_416(
    client: Client, header: str, status: int
) -> None:
    digest = await push_blob(client, "app", b"0123456789")
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Range": header})
    if status == 200:
        assert (answer.status, answer.body) == (200, b"0123456789")
    else:
        answer.assert_error(416, "SIZE_INVALID")
        assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "accept", [None, "*/*", "text/html", "application/json;q=0.1, */*;q=0", ", ,;", "a/b," * 2_000, _FULL_WIDTH]
)
async def test_accept_changes_neither_bytes_nor_type(client: Client, accept: str | None) -> None:
    await push_image(client, "app", _INDEX, "latest")
    headers = {} if accept is None else {"Accept": accept}
    answer = await ask(client, "GET", "/v2/app/manifests/latest", headers)
    assert (answer.status, answer.headers["Content-Type"]) == (200, _INDEX.media_type)
    assert answer.body == _INDEX.content


@pytest.mark.parametrize("accept", ["text/html", "application/xhtml+xml,text/html"])
async def test_an_error_is_json_also_for_a_browser(client: Client, accept: str) -> None:
    (await ask(client, "GET", "/v2/app/tags/list", {"Accept": accept})).assert_error(404, "NAME_UNKNOWN")
