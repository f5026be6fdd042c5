"""A unique password goes through every failure that there is, and is found in no output."""

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.auth.credentials import auth_section, basic, hash_of, write_htpasswd
from tests.processes import Server, pyregistry_server, wait_until
from tests.workers.http import ask
from tests.workers.workers import workers_of


@pytest.mark.parametrize("formatter", ["text", "json"])
def test_a_password_is_found_in_no_output(tmp_path: Path, formatter: str) -> None:
    password = f"Unique-{secrets.token_hex(12)}"
    path = tmp_path / "htpasswd"
    write_htpasswd(path, {"alice": password, "bob": "another"})
    log = {"level": "debug", "formatter": formatter}
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}, auth=auth_section(path), log=log) as server:
        _log_in_wrong(server, password)
        _break_requests(server, password)
        _break_the_storage(server, password)
        _break_the_file(server, path, password)
        for pid in workers_of(server):
            os.kill(pid, signal.SIGKILL)
        wait_until(server.answers, "a new worker")
        assert ask(server, "GET", "/v2/", headers=basic("bob", "another")).status in (200, 429)
        output = server.log.read_text(errors="replace")
    output += server.log.read_text(errors="replace") + _run_the_command(path, password)
    for fact in (
        "login failed",
        "htpasswd line left out",
        "htpasswd file not usable",
        "storage error",
        "401",
        "ENOTDIR",
    ):
        assert fact in output, "the failures did happen"
    for form in _forms(password):
        assert form not in output


def _forms(password: str) -> set[str]:
    """As it is, and within base64 wherever it begins in a group of three bytes."""
    forms = {password, password[:12], quote(password), password.encode().hex()}
    for user in ("alice", "bob", "nobody", ""):
        forms.add(basic(user, password)["Authorization"].removeprefix("Basic "))
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + password.encode())
        forms.add(encoded[4:-4].decode())
    return forms


def _log_in_wrong(server: Server, password: str) -> None:
    right = basic("alice", password)["Authorization"]
    attempts = [
        right,
        f"Bearer {password}",
        f"Digest {password}",
        f"Basic {password}",
        password,
        f"Basic {right} {right}",
    ]
    attempts += [basic(user, password)["Authorization"] for user in ("bob", "nobody", "", password, f"{password}\n")]
    attempts += [basic(b"\xff", password)["Authorization"], basic("alice", password * 60)["Authorization"]]
    statuses = set()
    for attempt in attempts:
        for path in ("/v2/", "/v2/app/manifests/x", "/nowhere", f"/v2/?password={password}"):
            statuses.add(ask(server, "GET", path, headers={"Authorization": attempt}).status)
    for number in range(40):
        statuses.add(ask(server, "GET", "/v2/", headers=basic("bob", f"{password}{number}")).status)
    assert statuses == {200, 401, 404, 429}


def _break_requests(server: Server, password: str) -> None:
    header = f"Authorization: {basic('alice', password)['Authorization']}\r\n"
    for request in [
        f"GET /v2/ HTTP/1.1\r\n{header}\0\r\n\r\n",
        f"GET /v2/ HTTP/1.1\r\n{header}{'x' * 9_000}: y\r\n\r\n",
        f"GET /v2/ HTTP/1.1\r\nAuthorization: Basic {password * 400}\r\n\r\n",
        f"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{header}Content-Length: 100\r\n\r\nshort",
        f"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{header}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{header}Expect: {password}\r\n\r\n",
        f"GET http://alice:{password}@x/v2/ HTTP/1.1\r\nHost: x\r\n{header}\r\n",
    ]:
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


def _break_the_storage(server: Server, password: str) -> None:
    # A file where a directory should be is an error for root, too.
    repositories = server.tree / "repositories"
    repositories.mkdir(parents=True, exist_ok=True)
    (repositories / "broken").write_text("")
    alice = basic("alice", password)
    statuses = {ask(server, "POST", "/v2/broken/blobs/uploads/", headers=alice).status for _ in range(4)}
    statuses |= {ask(server, "GET", "/v2/broken/manifests/x", headers=alice).status for _ in range(4)}
    assert 500 in statuses, statuses


def _break_the_file(server: Server, path: Path, password: str) -> None:
    good = path.read_bytes()
    for content in (password, f"alice:{password}", f"alice:{password}:x\n", f"{hash_of(password)}\n"):
        path.write_text(content)
        time.sleep(1.3)
        os.kill(server.pid, signal.SIGHUP)
    path.unlink()
    wait_until(lambda: "htpasswd file not usable" in server.log.read_text(errors="replace"), "it is missed")
    path.write_bytes(good)
    time.sleep(1.3)


def _run_the_command(path: Path, password: str) -> str:
    output = ""
    for arguments, given in [
        (["-v", "-i", str(path), "bob"], password),
        (["-i", str(path), "a:b"], password),
        (["-i", "-C", "4", str(path), "carol"], password * 4),
        (["-b", str(path), "x:y", password], ""),
        (["-b", "-C", "4", str(path), "dave", password], ""),
        (["-i", str(path), "dave", "more", "arguments"], password),
        (["-i", f"{path}/none", "dave"], password),
    ]:
        command = [sys.executable, "-m", "pyregistry", "htpasswd", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        output += done.stdout + done.stderr
    return output
