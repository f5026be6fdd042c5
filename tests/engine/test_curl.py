"""curl: what scripts send, and the corners of HTTP that libraries hide."""

from pathlib import Path

import pytest

from tests.engine.client import Client
from tests.engine.images import digest_of, layer, unique
from tests.engine.wire import Wire
from tests.processes import Server, require

BLOB = layer(3_000_000)


@pytest.fixture
def curl() -> Client:
    """curl; the headers of every answer it got come first on stdout."""
    return Client(require("curl", "curl"), "--silent", "--show-error", "--max-time", "60", "--dump-header", "-")


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    """A layer in a file."""
    path = tmp_path / "blob"
    path.write_bytes(BLOB)
    return path


@pytest.fixture
def stored(registry: Server, wire: Wire) -> str:
    """The URL of a blob in the registry."""
    repository = unique("curl/stored")
    wire.push_blob(repository, BLOB)
    return f"{registry.url}/v2/{repository}/blobs/{digest_of(BLOB)}"


def header(output: str, name: str) -> str:
    """The value of a header in what curl wrote; the last answer counts."""
    found = [line for line in output.splitlines() if line.lower().startswith(f"{name.lower()}:")]
    assert found, f"no {name} in\n{output}"
    return found[-1].split(":", 1)[1].strip()


def statuses(output: str) -> list[str]:
    """The status of each answer in what curl wrote."""
    return [line.split()[1] for line in output.splitlines() if line.startswith("HTTP/1.1 ")]


def location(curl: Client, registry: Server, repository: str) -> str:
    """A new upload session, as an absolute URL."""
    output = curl.run("-X", "POST", f"{registry.url}/v2/{repository}/blobs/uploads/", "-d", "")
    assert statuses(output) == ["202"]
    found = header(output, "Location")
    return found if found.startswith("http") else registry.url + found


def with_digest(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}digest={digest_of(BLOB)}"


@pytest.mark.client("curl", "upload in chunks")
def test_chunked_patch_then_put_stores_the_blob(registry: Server, wire: Wire, curl: Client, blob: Path) -> None:
    repository = unique("curl/chunked")
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/octet-stream"]
    url = location(curl, registry, repository)
    output = curl.run("-X", "PATCH", *chunked, "--upload-file", blob, url)
    assert statuses(output)[-1] == "202"
    assert header(output, "Range") == f"0-{len(BLOB) - 1}"
    target = header(output, "Location")
    target = target if target.startswith("http") else registry.url + target
    assert statuses(curl.run("-X", "PUT", "-d", "", with_digest(target))) == ["201"]
    assert wire.request("GET", f"/v2/{repository}/blobs/{digest_of(BLOB)}").body == BLOB


@pytest.mark.client("curl", "single blobs")
def test_a_script_that_appends_the_digest_to_the_location_as_it_is_can_push(
    registry: Server, wire: Wire, curl: Client, blob: Path
) -> None:
    for joint in ("&", "?"):
        repository = unique("curl/appended")
        begun = curl.run("-X", "POST", f"{registry.url}/v2/{repository}/blobs/uploads/", "-d", "")
        url = f"{header(begun, 'Location')}{joint}digest={digest_of(BLOB)}"
        assert statuses(curl.run("-X", "PUT", "--data-binary", f"@{blob}", url))[-1] == "201"
        assert wire.request("GET", f"/v2/{repository}/blobs/{digest_of(BLOB)}").body == BLOB


def test_expect_100_continue_is_answered_before_the_body(
    registry: Server, wire: Wire, curl: Client, blob: Path
) -> None:
    repository = unique("curl/expect")
    wait = ["-H", "Expect: 100-continue", "--expect100-timeout", "50", "--max-time", "20"]
    url = location(curl, registry, repository)
    output = curl.run("-X", "PATCH", *wait, "--upload-file", blob, url)
    assert statuses(output) == ["100", "202"]
    assert header(output, "Range") == f"0-{len(BLOB) - 1}"


def test_expect_100_continue_for_an_unknown_session_is_refused_without_the_body(
    registry: Server, curl: Client, blob: Path
) -> None:
    url = f"{registry.url}/v2/{unique('curl/nobody')}/blobs/uploads/9c1c2f4e-7a39-4a0e-8f5c-2b4ad1a5cf11"
    wait = ["-H", "Expect: 100-continue", "--expect100-timeout", "50", "--max-time", "20"]
    output = curl.run("-X", "PATCH", *wait, "--write-out", "sent %{size_upload}", "--upload-file", blob, url)
    assert statuses(output) == ["404"]
    assert output.endswith("sent 0")


@pytest.mark.client("curl", "single blobs")
def test_one_put_with_the_whole_body_stores_the_blob(registry: Server, wire: Wire, curl: Client, blob: Path) -> None:
    repository = unique("curl/monolithic")
    url = with_digest(location(curl, registry, repository))
    output = curl.run("-X", "PUT", "--data-binary", f"@{blob}", "-H", "Content-Type: application/octet-stream", url)
    assert statuses(output)[-1] == "201"
    assert header(output, "Docker-Content-Digest") == digest_of(BLOB)
    assert wire.request("GET", f"/v2/{repository}/blobs/{digest_of(BLOB)}").body == BLOB


@pytest.mark.client("curl", "single blobs")
def test_range_returns_those_bytes(stored: str, curl: Client, tmp_path: Path) -> None:
    target = tmp_path / "part"
    output = curl.run("--range", "1000-1999", "--output", target, stored)
    assert statuses(output) == ["206"]
    assert header(output, "Content-Range") == f"bytes 1000-1999/{len(BLOB)}"
    assert header(output, "Content-Length") == "1000"
    assert target.read_bytes() == BLOB[1000:2000]


@pytest.mark.client("curl", "resume")
def test_interrupted_download_resumes(stored: str, curl: Client, tmp_path: Path) -> None:
    target = tmp_path / "whole"
    target.write_bytes(BLOB[:1_234_567])
    output = curl.run("--continue-at", "-", "--output", target, stored)
    assert statuses(output) == ["206"]
    assert target.read_bytes() == BLOB


def test_range_behind_the_end_is_416(stored: str, curl: Client) -> None:
    output = curl.run("--range", f"{len(BLOB)}-", "--output", "/dev/null", stored)
    assert statuses(output) == ["416"]
    assert header(output, "Content-Range") == f"bytes */{len(BLOB)}"


def test_head_tells_the_size_and_sends_nothing(stored: str, curl: Client) -> None:
    output = curl.run("--head", "--output", "/dev/null", stored)
    assert statuses(output) == ["200"]
    assert header(output, "Content-Length") == str(len(BLOB))


def test_compressed_transfer_is_not_offered(stored: str, curl: Client, tmp_path: Path) -> None:
    target = tmp_path / "whole"
    output = curl.run("-H", "Accept-Encoding: gzip, deflate, br", "--output", target, stored)
    assert "content-encoding" not in output.lower()
    assert target.read_bytes() == BLOB
