"""Short scripts, as they stand in many repositories: they go on with the Location as it came, and expect all of it."""

from pathlib import Path

import pytest
import requests

from tests.clients.programs import payload
from tests.engine.client import Client
from tests.engine.images import digest_of, layer, unique
from tests.engine.wire import Wire
from tests.processes import Server, require

GLUED = """
set -eu
location=$(curl --silent --fail --dump-header - --output /dev/null -X POST "$1/v2/$2/blobs/uploads/" |
    tr -d '\\r' | sed -n 's/^Location: //p')
curl --silent --show-error --output "$4" --write-out '%{http_code}' -X PUT \\
    -H 'Content-Type: application/octet-stream' --data-binary "@$3" \\
    "$location&digest=sha256:$(sha256sum "$3" | cut -d ' ' -f 1)"
"""
"""POST, then PUT to the Location with `&digest=` behind it: the header in that spelling, absolute, with a query."""


def stored(server: Server, repository: str, content: bytes) -> bool:
    """The registry serves the blob with the same bytes."""
    with Wire(server) as wire:
        answer = wire.request("GET", f"/v2/{repository}/blobs/{digest_of(content)}")
    return answer.status == 200 and answer.body == content


@pytest.mark.client("requests", "single blobs")
def test_put_to_the_location_as_it_came_stores_the_blob(either: Server) -> None:
    content, repository = layer(300_000), unique("requests/put")
    with requests.Session() as session:
        opened = session.post(f"{either.url}/v2/{repository}/blobs/uploads/", timeout=30)
        assert opened.status_code == 202
        done = session.put(opened.headers["Location"], params={"digest": digest_of(content)}, data=content, timeout=30)
    assert done.status_code == 201
    assert stored(either, repository, content)


@pytest.mark.client("requests", "upload in chunks")
def test_patches_to_each_location_as_it_came_store_the_blob(either: Server) -> None:
    content, repository = layer(300_000), unique("requests/patch")
    with requests.Session() as session:
        answer = session.post(f"{either.url}/v2/{repository}/blobs/uploads/", timeout=30)
        for start in range(0, len(content), 100_000):
            part = content[start : start + 100_000]
            headers = {"Content-Range": f"{start}-{start + len(part) - 1}", "Content-Type": "application/octet-stream"}
            answer = session.patch(answer.headers["Location"], data=part, headers=headers, timeout=30)
            assert answer.status_code == 202
        done = session.put(f"{answer.headers['Location']}&digest={digest_of(content)}", timeout=30)
    assert done.status_code == 201
    assert stored(either, repository, content)


@pytest.mark.client("curl", "single blobs")
def test_digest_glued_to_the_location_stores_the_blob(either: Server, tmp_path: Path) -> None:
    content, repository = payload(tmp_path / "blob", 300_000), unique("curl/glued")
    require("curl", "curl")
    shell = Client("sh", "-c", GLUED, "push")
    assert shell.run(either.url, repository, tmp_path / "blob", tmp_path / "answer") == "201"
    assert stored(either, repository, content)
