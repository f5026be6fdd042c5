"""The access log on standard output, the other one on standard error, and what never gets into either."""

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import digest_of
from tests.processes import Server, free_port, pyregistry_server, wait_until
from tests.workers.http import Answer, ask
from tests.workers.logs import COMBINED, Logs, logging_server

FIELDS = {"service": "registry", "rack": 12, "user": "that of the request wins", "since": date(2001, 1, 1)}
_PASSWORD = "wonder-land-42"
_USER = 'al "ice" \\x \x1b[31m\x85 ü'
_HOSTILE = {
    "a quote": 'x" 200 0 "-" "forged',
    "a backslash at the end": "x\\",
    "a terminal's escape": "x\x1b[2Jy",
    "a byte that is no UTF-8": "x\xffy",
    "a tab": "x\ty",
    "4,000 characters": "x" * 4_000,
    "4,000 quotes": '"' * 4_000,
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    """Two workers, a user with a strange name, Combined Log Format."""
    directory = tmp_path_factory.mktemp("logs")
    write_htpasswd(directory / "htpasswd", {_USER: _PASSWORD, "alice": _PASSWORD})
    auth = auth_section(directory / "htpasswd")
    with logging_server(directory, auth=auth, pyregistry={"workers": 2}) as running:
        yield running


@pytest.fixture(scope="module", params=["json", "logstash"])
def json_logs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    """The same with lines of JSON."""
    directory = tmp_path_factory.mktemp("logs")
    write_htpasswd(directory / "htpasswd", {_USER: _PASSWORD, "alice": _PASSWORD})
    sections = {"auth": auth_section(directory / "htpasswd"), "log": {"formatter": request.param, "fields": FIELDS}}
    with logging_server(directory, **sections) as running:
        yield running


def _ask(server: Server, method: str, path: str, headers: Mapping[str, str] | None = None) -> tuple[Answer, str]:
    answer = ask(server, method, path, headers=headers)
    return answer, answer.headers["X-Request-ID"]


def _settle(logs: Logs) -> None:
    """The line is written when the answer is out, so a moment after it has arrived."""
    _, last = _ask(logs.server, "GET", "/livez")
    wait_until(lambda: last in logs.out.read_text(), "the last request is in the log")
    time.sleep(0.1)  # another worker may be in the middle of its own


def test_every_line_of_the_access_log_is_in_combined_log_format(logs: Logs) -> None:
    for path in ["/v2/", "/v2/app/manifests/latest", "/nowhere", "/v2/..%2f..%2fetc", "/v2/a%0Ab/tags/list", "/readyz"]:
        _ask(logs.server, "GET", path, basic("alice", _PASSWORD))
    _settle(logs)
    assert len(logs.lines()) >= 7
    for line in logs.lines():
        assert COMBINED.fullmatch(line), line


def test_a_line_has_the_user_the_status_the_bytes_and_the_id_and_no_query(logs: Logs) -> None:
    headers = {**basic("alice", _PASSWORD), "User-Agent": "docker/28.1 (linux)"}
    answer, number = _ask(logs.server, "GET", f"/v2/app/manifests/latest?token={_PASSWORD}", headers)
    _settle(logs)
    line = logs.combined(number)
    assert (line["host"], line["user"], line["method"]) == ("127.0.0.1", "alice", "GET")
    assert (line["path"], line["agent"]) == ("/v2/app/manifests/latest", "docker/28.1 (linux)")
    assert (line["status"], line["bytes"]) == (str(answer.status), str(len(answer.body)))


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_no_agent_can_forge_or_break_a_line(logs: Logs, text: str) -> None:
    _settle(logs)
    before = len(logs.lines())
    _, number = _ask(logs.server, "GET", "/v2/", {"User-Agent": text, "Referer": text})
    _settle(logs)
    line = logs.combined(number)
    assert line["user"] == "-"
    assert line["status"] in {"400", "401"}  # with a control character it is not HTTP
    assert len(logs.lines()) == before + 2
    assert all(len(each) < 4096 and each.isascii() and each.isprintable() for each in logs.lines())


def test_a_user_with_a_strange_name_is_one_word(logs: Logs) -> None:
    answer, number = _ask(logs.server, "GET", "/v2/", basic(_USER, _PASSWORD))
    assert answer.status == 200
    _settle(logs)
    assert logs.combined(number)["user"] == r"al\x20\"ice\"\x20\\x\x20\x1b[31m\xc2\x85\x20\xc3\xbc"


def test_raw_lines_with_control_characters_leave_no_line_that_cannot_be_read(logs: Logs) -> None:
    for data in [
        b"GET /v2/\xff\xfe\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://alice:wonder-land-42@x/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x00b\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\nforged\r\n\r\n",
        b"NONSENSE\r\n\r\n",
    ]:
        with socket.create_connection(("127.0.0.1", logs.server.port), timeout=10) as connection:
            connection.sendall(data)
            assert connection.recv(65536).startswith(b"HTTP/1.")
    _settle(logs)
    for line in logs.lines():
        assert COMBINED.fullmatch(line), line


@pytest.mark.parametrize("sent", ["4bf92f3577b34da6a3ce929d0e0e4736", "a", "abc.DEF_1-2", "x" * 64])
def test_an_id_that_a_proxy_made_is_taken_over(logs: Logs, sent: str) -> None:
    _, number = _ask(logs.server, "GET", "/v2/", {"X-Request-ID": sent})
    assert number == sent
    _settle(logs)
    assert any(f" {sent} " in line for line in logs.lines())


@pytest.mark.parametrize("sent", ["x" * 65, "a b", 'a"b', "a\\b", "-", ".", "ü", "a\x1bb", "a;b", "", "a/b", "a,b"])
def test_an_id_that_could_harm_a_log_is_replaced(logs: Logs, sent: str) -> None:
    _, number = _ask(logs.server, "GET", "/v2/", {"X-Request-ID": sent})
    assert re.fullmatch("[0-9a-f]{16}", number)


def test_two_requests_have_two_ids(logs: Logs) -> None:
    assert len({_ask(logs.server, "GET", "/v2/")[1] for _ in range(20)}) == 20


def test_a_5xx_and_the_line_that_explains_it_have_the_same_id(logs: Logs) -> None:
    broken = logs.server.tree / "repositories/broken"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("not a directory")
    try:
        answer, number = _ask(logs.server, "POST", "/v2/broken/blobs/uploads/", basic("alice", _PASSWORD))
    finally:
        broken.unlink()
    assert answer.status == 500
    assert json.loads(answer.body)["errors"][0]["detail"] == f"request {number}"
    wait_until(lambda: f"request_id={number}" in logs.err.read_text(), "the other log has it")
    assert "Traceback" not in logs.out.read_text()


def test_the_access_log_is_on_standard_output_and_the_rest_on_standard_error(logs: Logs) -> None:
    _settle(logs)
    assert "listening" in logs.err.read_text()
    assert COMBINED.search(logs.err.read_text()) is None


def test_no_password_is_in_any_log(logs: Logs) -> None:
    headers = basic("alice", _PASSWORD)
    content = b"content"
    push = f"/v2/app/blobs/uploads/?digest={digest_of(content)}&password={_PASSWORD}"
    assert ask(logs.server, "POST", push, content, headers).status == 201
    ask(logs.server, "GET", "/v2/", headers=basic("alice", _PASSWORD + "x"))
    ask(logs.server, "GET", f"/v2/?{_PASSWORD}", headers={"Referer": f"https://x/?{_PASSWORD}", "Cookie": _PASSWORD})
    _settle(logs)
    written = logs.out.read_text() + logs.err.read_text()
    assert "alice" in written
    for secret in [_PASSWORD, headers["Authorization"].removeprefix("Basic ")]:
        assert secret not in written


def test_a_line_of_json_has_the_repository_and_the_seconds_as_well(json_logs: Logs) -> None:
    headers = {**basic(_USER, _PASSWORD), "User-Agent": 'a "b"\t \xff'}
    answer, number = _ask(json_logs.server, "GET", "/v2/team/app/tags/list?n=7", headers)
    assert answer.status == 404
    wait_until(lambda: number in json_logs.out.read_text(), "the request is in the log")
    entry = json_logs.json(number)
    is_logstash = "@version" in entry
    assert 0 < entry.pop("seconds") < 10
    assert entry.pop("@timestamp" if is_logstash else "timestamp").endswith("+00:00")
    message = {"@version": "1", "type": "log", "level": "info", "message": "GET /v2/team/app/tags/list 404"}
    assert entry == {
        **(message if is_logstash else {}),
        "service": "registry",
        "rack": 12,
        "since": "2001-01-01",
        "logger": "pyregistry.access",
        "request_id": number,
        "remote": "127.0.0.1",
        "user": _USER.replace("\x1b", r"\x1b").replace("\x85", r"\x85"),
        "method": "GET",
        "path": "/v2/team/app/tags/list",
        "protocol": "HTTP/1.1",
        "repository": "team/app",
        "status": 404,
        "bytes": len(answer.body),
        "agent": r'a "b"\t \udcff',
    }


def test_every_line_of_both_logs_is_json(json_logs: Logs) -> None:
    _ask(json_logs.server, "GET", "/v2/a%0Ab/tags/list", {"User-Agent": "\xff\xfe"})
    for line in [*json_logs.lines(), *json_logs.err.read_text().splitlines()]:
        assert json.loads(line)["service"] == "registry"


def test_logstash_gets_the_keys_that_it_knows(tmp_path: Path) -> None:
    with logging_server(tmp_path, log={"formatter": "logstash"}) as logs:
        first = json.loads(logs.err.read_text().splitlines()[0])
        assert {"@timestamp", "message", "level"} <= set(first)


def test_the_access_log_can_be_switched_off_and_the_other_stays(tmp_path: Path) -> None:
    with logging_server(tmp_path, log={"accesslog": {"disabled": True}}) as logs:
        for _ in range(3):
            assert ask(logs.server, "GET", "/v2/").status == 200
        assert logs.server.stop() == 0
        assert logs.out.read_text() == ""
        assert "listening" in logs.err.read_text()


def test_an_ipv4_address_is_written_as_one_where_the_server_listens_to_both_families(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": _PASSWORD})
    port = free_port()
    own = {"workers": 1, "limits": {"connections-per-address": 1}}
    sections = {"auth": auth_section(tmp_path / "htpasswd"), "pyregistry": own, "http": {"addr": f":{port}"}}
    with pyregistry_server(tmp_path, port, **sections) as server:
        assert ask(server, "GET", "/v2/", headers=basic("alice", "wrong")).status == 401
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as first,
            socket.create_connection(("127.0.0.1", port), timeout=10),
        ):
            assert not first.recv(1), "the one that is idle longest is closed for the second"
        wait_until(lambda: "closed: too many" in server.output(), "that is logged")
        assert "login failed" in server.output()
        assert "127.0.0.1 " in server.output()
        assert "::ffff" not in server.output()
