"""A running service takes a new config, and a worker can start whatever state the files are in."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import digest_of
from tests.processes import Server, merged, pyregistry_server, wait_until
from tests.storage.mounts import remount_read_only, tmpfs
from tests.workers.http import ask, start_upload
from tests.workers.workers import beats_of, workers_of

ALICE = basic("alice", "wonderland")


def configure(server: Server, **sections: object) -> None:
    """Lay sections over the server's config and tell it."""
    document = yaml.safe_load(server.config.read_text())
    server.config.write_text(yaml.safe_dump(merged(document, sections)))
    os.kill(server.pid, signal.SIGHUP)


def answers(server: Server, method: str, path: str, status: int, headers: Mapping[str, str] | None = None) -> bool:
    """Return True if this is the answer."""
    return ask(server, method, path, headers=headers).status == status


def read_only(*, enabled: bool) -> dict[str, object]:
    return {"maintenance": {"readonly": {"enabled": enabled}}}


def test_sighup_makes_the_registry_read_only_and_back(server: Server) -> None:
    configure(server, storage=read_only(enabled=True))
    wait_until(lambda: ask(server, "POST", "/v2/app/blobs/uploads/").status == 405, "pushes are refused")
    configure(server, storage=read_only(enabled=False))
    wait_until(lambda: ask(server, "POST", "/v2/app/blobs/uploads/").status == 202, "pushes are taken again")
    assert server.stop() == 0


def test_an_upload_that_runs_during_sighup_ends_well(server: Server) -> None:
    location = start_upload(server, "app")
    begun, told = threading.Event(), threading.Event()
    content = bytes(1_000_000)

    def body() -> Iterator[bytes]:
        yield content
        begun.set()
        assert told.wait(30)
        yield content

    answers = []
    sending = threading.Thread(target=lambda: answers.append(ask(server, "PATCH", location, body())))
    sending.start()
    assert begun.wait(30)
    before = set(workers_of(server))
    configure(server, storage=read_only(enabled=True))
    wait_until(lambda: bool(set(workers_of(server)) - before), "new workers run")
    told.set()
    sending.join()
    assert answers[0].status == 202
    configure(server, storage=read_only(enabled=False))
    path = f"{location}?digest={digest_of(content * 2)}"
    wait_until(lambda: ask(server, "PUT", path).status == 201, "the upload is finished by a new worker")


def test_a_worker_whose_last_requests_take_long_goes_on_saying_that_it_lives(server: Server) -> None:
    """A worker that is silent for 30 s is killed, with any `http.draintimeout`."""
    location = start_upload(server, "app")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500)
        wait_until(lambda: bool(list(server.tree.glob("repositories/app/_uploads/*/data"))), "it is being received")
        before = set(workers_of(server))
        configure(server, http={"draintimeout": "60s"})
        wait_until(lambda: len(before & set(workers_of(server))) == 1, "only the worker of that request is left")
        [worker] = before & set(workers_of(server))
        heard = {beats_of(worker)}
        for _ in range(4):
            time.sleep(1)
            heard.add(beats_of(worker))
        assert len(heard) > 2
        connection.sendall(b"x" * 500)
        assert connection.recv(4096).startswith(b"HTTP/1.1 202")


def test_while_old_workers_end_after_sighup_a_signal_to_stop_is_heard(server: Server) -> None:
    location = start_upload(server, "app")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500)
        wait_until(lambda: bool(list(server.tree.glob("repositories/app/_uploads/*/data"))), "it is being received")
        before = set(workers_of(server))
        configure(server, storage=read_only(enabled=True))
        wait_until(lambda: len(before & set(workers_of(server))) == 1, "only the worker of that request is left")
        os.kill(server.pid, signal.SIGTERM)
        wait_until(server._refuses, "it listens no more", deadline=10)
        os.kill(server.pid, signal.SIGTERM)
        assert server.stop(deadline=10) == 0


def test_loggers_that_were_used_before_write_as_the_new_config_says(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, log={"fields": {"site": "first"}}) as server:
        configure(server, log={"fields": {"site": "second"}, "formatter": "logstash"})
        wait_until(lambda: "config reloaded" in server.output(), "the log says so")
        [line] = [line for line in server.output().splitlines() if "config reloaded" in line]
        said = json.loads(line)
        assert (said["message"], said["site"], said["logger"]) == ("config reloaded", "second", "pyregistry.server")
        assert "@timestamp" in said
        assert "timestamp" not in said


def test_a_config_that_is_of_no_use_changes_nothing(server: Server) -> None:
    configure(server, http={"draintimeout": "soon"})
    wait_until(lambda: "stays active" in server.output(), "the log says so")
    assert "draintimeout" in server.output()
    assert ask(server, "GET", "/v2/").status == 200


def test_another_address_needs_a_restart_and_the_log_says_so(server: Server) -> None:
    configure(server, http={"addr": "127.0.0.1:1"})
    wait_until(lambda: "http.addr changes with a restart only" in server.output(), "the log says so")
    assert ask(server, "GET", "/v2/").status == 200


def test_what_is_wrong_in_the_htpasswd_file_is_said_once_at_the_start_and_once_at_sighup(tmp_path: Path) -> None:
    users = tmp_path / "htpasswd"
    write_htpasswd(users, {"alice": "wonderland"})
    users.write_text(users.read_text() + "mallory:plain\n")
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}, auth=auth_section(users)) as server:

        def said() -> int:
            return server.output().count("entry left out")

        before = set(workers_of(server))
        wait_until(lambda: len(workers_of(server)) == 2, "both workers run")
        assert ask(server, "GET", "/v2/", headers=ALICE).status == 200
        assert said() == 1
        configure(server, log={"fields": {"site": "second"}})
        wait_until(lambda: not before & set(workers_of(server)), "all workers are new")
        wait_until(lambda: server.output().count("site=second") > 0, "the config was read")
        assert ask(server, "GET", "/v2/", headers=ALICE).status == 200
        assert said() == 2


@pytest.mark.parametrize(("content", "status"), [(None, 200), ("", 401), ("garbage\n", 401)])
def test_a_worker_is_replaced_while_the_htpasswd_file_is_missing_or_has_no_user(
    tmp_path: Path, content: str | None, status: int
) -> None:
    """Missing, it has its minute; what can be read is in force at once."""
    users = tmp_path / "htpasswd"
    write_htpasswd(users, {"alice": "wonderland"})
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}, auth=auth_section(users)) as server:
        wait_until(lambda: len(workers_of(server)) == 2, "both workers run")
        assert ask(server, "GET", "/v2/", headers=ALICE).status == 200
        _change(users, content)
        before = workers_of(server)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(server)) - set(before)) == 2, "both are replaced")
        assert ask(server, "GET", "/v2/", headers=ALICE).status == status
        assert ask(server, "GET", "/v2/").status == 401


def test_sighup_while_the_htpasswd_file_is_missing_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    users = tmp_path / "htpasswd"
    write_htpasswd(users, {"alice": "wonderland"})
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}, auth=auth_section(users)) as server:
        _change(users, None)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "config not usable, the last valid one stays active" in server.output(), "the log says so")
        wait_until(server.answers, "it answers")
        assert ask(server, "GET", "/v2/", headers=ALICE).status == 200
        assert ask(server, "GET", "/v2/").status == 401


@pytest.mark.parametrize("content", ["", "garbage\n"])
def test_sighup_takes_an_htpasswd_file_without_users(tmp_path: Path, content: str) -> None:
    users = tmp_path / "htpasswd"
    write_htpasswd(users, {"alice": "wonderland"})
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}, auth=auth_section(users)) as server:
        _change(users, content)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "config reloaded" in server.output(), "the config is read")
        wait_until(lambda: answers(server, "GET", "/v2/", 401, ALICE), "alice is out")


def _change(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_text(content)


def test_a_worker_that_is_replaced_has_the_rules_of_the_file_as_it_is(tmp_path: Path) -> None:
    rules = tmp_path / "access.yml"
    rules.write_text("[{repositories: app, who: anonymous, actions: [pull, push]}]")
    with pyregistry_server(tmp_path, pyregistry={"workers": 2, "access": str(rules)}) as server:
        wait_until(lambda: len(workers_of(server)) == 2, "both workers run")
        start_upload(server, "app")
        rules.write_text("[{repositories: app, who: anonymous, actions: pull}]")
        before = workers_of(server)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(server)) - set(before)) == 2, "both are replaced")
        assert {ask(server, "POST", "/v2/app/blobs/uploads/").status for _ in range(8)} == {403}


def test_sighup_takes_new_rules_and_survives_a_file_of_rules_that_is_broken(tmp_path: Path) -> None:
    rules = tmp_path / "access.yml"
    rules.write_text("[{repositories: app, who: anonymous, actions: pull}]")
    with pyregistry_server(tmp_path, pyregistry={"workers": 2, "access": str(rules)}) as server:
        rules.write_text("[")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "config not usable, the last valid one stays active" in server.output(), "the log says so")
        assert "access.yml" in server.output()
        assert ask(server, "GET", "/v2/app/tags/list").status == 404
        assert ask(server, "POST", "/v2/app/blobs/uploads/").status == 403
        configure(server, pyregistry={"access": [{"repositories": "app", "who": "anonymous", "actions": "push"}]})
        wait_until(lambda: answers(server, "POST", "/v2/app/blobs/uploads/", 202), "the new rules apply")
        wait_until(lambda: answers(server, "GET", "/v2/app/tags/list", 403), "and to all")


def test_a_second_signal_does_not_wait_for_running_requests(server: Server) -> None:
    location = start_upload(server, "app")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500)
        wait_until(lambda: bool(list(server.tree.glob("repositories/app/_uploads/*/data"))), "it is being received")
        os.kill(server.pid, signal.SIGTERM)
        wait_until(server._refuses, "it listens no more")
        os.kill(server.pid, signal.SIGTERM)
        assert server.stop(deadline=10) == 0


def test_a_unix_socket_is_served_and_one_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "registry.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = UnixServer(path, tmp_path)
    with server:
        assert server.ping().startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize("name", ["{}/a client", "\0a client of {}", ""])
def test_a_client_of_a_unix_socket_has_no_address_whatever_it_calls_its_own(tmp_path: Path, name: str) -> None:
    with UnixServer(tmp_path / "registry.sock", tmp_path, **{"trusted-proxies": ["unix", "127.0.0.1"]}) as server:
        answer = server.ping(name.format(tmp_path), "X-Forwarded-For: 192.0.2.7\r\n")
        assert answer.startswith(b"HTTP/1.0 200")
        wait_until(lambda: "192.0.2.7 " in server.output(), "the client that the proxy names is in the access log")
        assert "Traceback" not in server.output()


class UnixServer(Server):
    """A registry on a unix socket."""

    def __init__(self, path: Path, directory: Path, **own: Any) -> None:
        made = pyregistry_server(directory, http={"net": "unix", "addr": str(path)}, pyregistry=own)
        super().__init__(made.command, made.directory, made.port, made.config)
        self._path = path

    def answers(self) -> bool:
        try:
            return self.ping().startswith(b"HTTP/1.0 200")
        except OSError:
            return False

    def ping(self, name: str = "", headers: str = "") -> bytes:
        """Return the answer to a client whose own socket has this name."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            if name:
                connection.bind(name)
            connection.connect(str(self._path))
            connection.sendall(f"GET /v2/ HTTP/1.0\r\n{headers}\r\n".encode())
            return connection.recv(4096)


def test_sighup_warns_of_what_the_new_config_misspells(server: Server) -> None:
    configure(server, http={"heders": {}})
    wait_until(lambda: "http.heders" in server.output(), "the key is named")


def test_sighup_with_metrics_at_no_path_changes_nothing(tmp_path: Path) -> None:
    with pyregistry_server(
        tmp_path, http={"debug": {"addr": "127.0.0.1:0", "prometheus": {"enabled": True}}}
    ) as server:
        configure(server, http={"debug": {"prometheus": {"path": "metrics"}}})
        wait_until(lambda: "last valid one stays active" in server.output(), "it is refused")
        assert ask(server, "GET", "/v2/").status == 200


def test_a_worker_is_replaced_on_a_disk_that_became_read_only(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with tmpfs(data), pyregistry_server(tmp_path, pyregistry={"workers": 1}) as server:
        empty = digest_of(b"")
        assert ask(server, "POST", f"/v2/app/blobs/uploads/?digest={empty}", b"").status == 201
        remount_read_only(data)
        [worker] = workers_of(server)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: bool(set(workers_of(server)) - {worker}), "another one begins")
        assert answers(server, "GET", f"/v2/app/blobs/{empty}", 200)
