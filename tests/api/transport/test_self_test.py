"""Versions of aiohttp with another private name: the service starts, warns once, and serves the ordinary way."""

import hashlib
import http.client
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from pyregistry.api.transport import internals, self_test
from pyregistry.api.transport.connection import Connection
from tests.builders import OCI_MANIFEST, digest_of, image
from tests.modes import fast_path_only
from tests.processes import Server, pyregistry_server, wait_until

_WARNING = "fast path off: its self-test failed"
_BLOB = bytes(range(256)) * 6_000
_CHUNK = 32 * 1024
_NAMES = sorted(
    {name for names in internals.NAMES.values() for name in names if name.startswith("_")}
    | {"finish_response", "handle_error", "writing_paused", "pre_shutdown"}
    | {"RawRequestMessage", "EMPTY_PAYLOAD", "HttpProcessingError", "LineTooLong", "HttpRequestParserPy"}
)


def _copy_with_other_name(directory: Path, name: str) -> None:
    """Make a version of aiohttp in which all mentions of a name are of another."""
    source = Path(aiohttp.__file__).parent
    whole = re.compile(rf"\b{name}\b")
    for path in source.rglob("*"):
        target = directory / "aiohttp" / path.relative_to(source)
        if path.suffix not in {".py", ".so"}:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.suffix == ".py" else ""
        if whole.search(text):
            target.write_text(whole.sub(f"{name}_of_tomorrow", text))
        else:
            shutil.copyfile(path, target)


def _ask(server: Server, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes | None))  # type: ignore[arg-type] # an iterator
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status in {200, 201, 202}, (method, path, answer.status, content)
        return answer.getheader("Location", "").encode() if method == "POST" else content
    finally:
        connection.close()


def _chunks(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK))


def _push_and_pull(server: Server) -> None:
    digest = "sha256:" + hashlib.sha256(_BLOB).hexdigest()
    for begin in ("announced", "chunked"):
        location = _ask(server, "POST", f"/v2/{begin}/blobs/uploads/").decode()
        path = location.removeprefix(server.url)
        target = f"{path}{'&' if '?' in path else '?'}digest={digest}"
        if begin == "announced":
            _ask(server, "PUT", target, _BLOB)
        else:
            _ask(server, "PUT", target, _chunks(_BLOB), {"Transfer-Encoding": "chunked"})
        assert _ask(server, "GET", f"/v2/{begin}/blobs/{digest}") == _BLOB
    made = image(b"layer")
    for content in made.blobs:
        path = f"/v2/app/blobs/uploads/?digest={digest_of(content)}"
        _ask(server, "POST", path, content)
    _ask(server, "PUT", "/v2/app/manifests/v1", made.content, {"Content-Type": OCI_MANIFEST})
    for _ in range(3):
        assert _ask(server, "GET", "/v2/app/manifests/v1") == made.content


@fast_path_only("the ordinary way asks for none of these names")
@pytest.mark.parametrize("name", _NAMES)
def test_without_a_private_name_one_warning_is_logged_and_all_is_served(tmp_path: Path, name: str) -> None:
    _copy_with_other_name(tmp_path / "tomorrow", name)
    server = pyregistry_server(tmp_path, pyregistry={"workers": 2})
    server.env["PYTHONPATH"] = f"{tmp_path / 'tomorrow'}:{server.env['PYTHONPATH']}"
    with server:
        _push_and_pull(server)
        assert server.output().count(_WARNING) == 1
        assert server.faults() == []
    assert "Traceback" not in server.output()


@fast_path_only("the ordinary way reads heads and bodies itself before any parser of aiohttp")
def test_without_the_parser_in_c_all_is_served_the_ordinary_way(tmp_path: Path) -> None:
    server = pyregistry_server(tmp_path, pyregistry={"workers": 1})
    server.env["AIOHTTP_NO_EXTENSIONS"] = "1"
    with server:
        _push_and_pull(server)
        assert server.output().count(_WARNING) == 1
        assert "without its C parser" in server.output()


def test_the_operator_can_ask_for_the_ordinary_way(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, pyregistry={"workers": 1, "fast-path": False}) as server:
        _push_and_pull(server)
        assert _WARNING not in server.output()
        assert server.faults() == []


def _wait_for_reload(server: Server, count: int) -> None:
    wait_until(lambda: server.output().count("config reloaded") == count, "the config is read again")


def test_the_fast_path_is_tested_only_where_the_config_asks_for_it(tmp_path: Path) -> None:
    """And once: at the start, or with the SIGHUP that brings it."""
    _copy_with_other_name(tmp_path / "tomorrow", "_waiter")
    server = pyregistry_server(tmp_path, pyregistry={"workers": 1, "fast-path": False})
    server.env["PYTHONPATH"] = f"{tmp_path / 'tomorrow'}:{server.env['PYTHONPATH']}"
    with server:
        assert _WARNING not in server.output()
        server.config.write_text(server.config.read_text().replace("fast-path: false", "fast-path: true"))
        for count in (1, 2):
            os.kill(server.pid, signal.SIGHUP)
            _wait_for_reload(server, count)
        _push_and_pull(server)
        assert server.output().count(_WARNING) == 1


def test_an_aiohttp_that_answers_a_malformed_request_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Connection, "handle_error")
    with pytest.raises(self_test.SelfTestFailed, match="gave"):
        self_test.run_self_test()


def test_the_installed_aiohttp_passes_the_self_test() -> None:
    self_test.run_self_test()


def test_a_failure_is_logged_with_the_version_and_what_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(internals.NAMES, aiohttp.web.AppRunner, ("_make_tea",))
    assert not self_test.fast_path_works()
    [record] = caplog.records
    for part in (_WARNING, "aiohttp has no AppRunner._make_tea", aiohttp.__version__):
        assert part in record.getMessage()
