"""Panels made for the CNCF registry 3.1.1 find the same families here, or a reason in docs/monitoring.md."""

import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.builders import OCI_MANIFEST, digest_of, image
from tests.monitoring.conftest import Page
from tests.monitoring.test_page import rows
from tests.processes import Server, cncf3_server, free_port
from tests.push import target_of
from tests.workers.http import ask
from tests.workers.watching import watched_server

_ENDPOINT = {"name": "nowhere", "url": "http://127.0.0.1:9/", "timeout": "1s", "threshold": 1, "backoff": "1s"}
SAME, MISSING = "same", "-"


def use(server: Server) -> None:
    """Push and pull, so that what is only shown once it was counted is shown."""
    pushed = image(b"a layer")
    for blob in pushed.blobs:
        location = target_of(ask(server, "POST", "/v2/app/blobs/uploads/").headers["Location"])
        separator = "&" if "?" in location else "?"
        assert ask(server, "PUT", f"{location}{separator}digest={digest_of(blob)}", blob).status == 201
    typed = {"Content-Type": OCI_MANIFEST}
    assert ask(server, "PUT", "/v2/app/manifests/v1", pushed.content, typed).status == 201
    for path in ("manifests/v1", "tags/list", f"blobs/{digest_of(pushed.blobs[0])}"):
        assert ask(server, "GET", f"/v2/app/{path}", headers={"Accept": OCI_MANIFEST}).status == 200
    assert ask(server, "GET", "/v2/_catalog").status == 200


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    port = free_port()
    debug = {"addr": f"127.0.0.1:{port}", "prometheus": {"enabled": True, "path": "/metrics"}}
    sections: dict[str, Any] = {
        "http": {"debug": debug},
        "storage": {"cache": {"blobdescriptor": "inmemory"}},
        "notifications": {"endpoints": [_ENDPOINT]},
    }
    with cncf3_server(tmp_path_factory.mktemp("cncf"), **sections) as server:
        use(server)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            yield Page(answer.read().decode())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with watched_server(tmp_path_factory.mktemp("ours"), pyregistry={"workers": 1}) as watched:
        use(watched.server)
        yield Page(watched.ask("/metrics").body.decode())


def listed() -> dict[str, str]:
    return {row[0].strip("`"): row[1] for row in rows("cncf")}


def test_every_family_of_theirs_has_a_row_and_every_row_is_one_of_theirs(theirs: Page) -> None:
    patterns = listed()
    assert set(patterns.values()) == {SAME, MISSING}
    without = [name for name in theirs.families if not any(fnmatchcase(name, row) for row in patterns)]
    assert without == []
    assert [row for row in patterns if not any(fnmatchcase(name, row) for name in theirs.families)] == []


def test_what_is_called_the_same_has_the_same_type_and_labels(theirs: Page, ours: Page) -> None:
    same = [name for name, here in listed().items() if here == SAME]
    assert {name: ours.families.get(name) for name in same} == {name: theirs.families[name] for name in same}
    for name in same:
        series = [each for each in theirs.series if each.startswith(name)]
        assert {each: ours.series.get(each) for each in series} == {each: theirs.series[each] for each in series}


def test_what_is_called_missing_is_missing(ours: Page) -> None:
    missing = [name for name, here in listed().items() if here == MISSING]
    assert [name for name in ours.families if any(fnmatchcase(name, row) for row in missing)] == []


def test_the_routes_have_the_same_names(theirs: Page, ours: Page) -> None:
    assert values(theirs, "handler") <= values(ours, "handler")
    assert values(theirs, "method") <= values(ours, "method")
    assert values(theirs, "action") - {"RedirectURL"} <= values(ours, "action")


def values(page: Page, label: str) -> set[str]:
    """Return all values of a label."""
    return {text.split('"')[0] for text in page.text.split(f'{label}="')[1:]}
