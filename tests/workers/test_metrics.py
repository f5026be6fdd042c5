"""Metrics of several processes are those of one service; the debug address outlives all of them."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import OCI_INDEX, digest_of, index
from tests.processes import free_port, pyregistry_server, wait_until
from tests.workers.http import ask, start_upload
from tests.workers.test_reload import answers, configure
from tests.workers.watching import WORKERS, Watched, watched_server
from tests.workers.workers import workers_of


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """For tests that only count forward."""
    with watched_server(tmp_path_factory.mktemp("watched")) as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with watched_server(tmp_path) as running:
        yield running


def test_so_many_requests_to_several_workers_are_counted_exactly(shared: Watched) -> None:
    labels = {"handler": "tags", "method": "get", "code": "404"}
    total, durations = "registry_http_requests_total", "registry_http_request_duration_seconds_count"
    before, took = shared.total(total, **labels), shared.total(durations, handler="tags")
    for _ in range(200):
        assert ask(shared.server, "GET", "/v2/none/tags/list").status == 404
    # A request is counted when its answer is out, which may be a moment after a client has it.
    wait_until(lambda: shared.total(total, **labels) >= before + 200, "the last one, too")
    assert shared.total(total, **labels) == before + 200
    assert shared.total(durations, handler="tags") == took + 200
    assert len(list(shared.directories[0].glob("counter_*.db"))) > 1, "one worker took them all"


def test_slashes_too_many_are_counted_for_the_endpoint_that_answers(shared: Watched) -> None:
    total, labels = "registry_http_requests_total", {"handler": "catalog", "method": "get", "code": "200"}
    before, others = shared.total(total, **labels), shared.total(total, handler="other")
    assert ask(shared.server, "GET", "//v2//_catalog/").status == 200
    wait_until(lambda: shared.total(total, **labels) > before, "it is counted")
    assert shared.total(total, handler="other") == others


def test_the_bytes_of_both_directions_are_counted(shared: Watched) -> None:
    content = os.urandom(100_000)
    digest = digest_of(content)
    names = ["registry_http_request_size_bytes_sum", "registry_http_response_size_bytes_sum"]
    received, sent = (shared.total(name) for name in names)
    pushed = ask(shared.server, "POST", f"/v2/bytes/blobs/uploads/?digest={digest}", content)
    pulled = ask(shared.server, "GET", f"/v2/bytes/blobs/{digest}")
    part = ask(shared.server, "GET", f"/v2/bytes/blobs/{digest}", headers={"Range": "bytes=0-99"})
    ask(shared.server, "HEAD", f"/v2/bytes/blobs/{digest}")
    assert (pushed.status, pulled.status, part.status) == (201, 200, 206)
    assert shared.total(names[0]) == received + len(content)
    assert shared.total(names[1]) == sent + len(pushed.body) + len(content) + 100


def test_the_bytes_of_a_large_body_are_counted(shared: Watched) -> None:
    content = os.urandom(9 * 1024 * 1024)
    name = "registry_http_request_size_bytes_sum"
    received = shared.total(name)
    assert ask(shared.server, "POST", f"/v2/big/blobs/uploads/?digest={digest_of(content)}", content).status == 201
    wait_until(lambda: shared.total(name) == received + len(content), "each of its bytes is counted once")


def test_the_names_and_labels_are_those_of_the_cncf_registry(shared: Watched) -> None:
    empty = index()
    put = ask(shared.server, "PUT", "/v2/names/manifests/latest", empty.content, {"Content-Type": OCI_INDEX})
    assert put.status == 201
    for path in [
        "/v2/",
        "/v2/_catalog",
        "/v2/names/tags/list",
        f"/v2/names/blobs/{digest_of(b'')}",
        start_upload(shared.server, "names"),
    ]:
        ask(shared.server, "GET", path)
    handlers = {"base", "catalog", "tags", "manifest", "blob", "blob_upload", "blob_upload_chunk"}
    names = {
        "registry_http_requests_total": ("code", "handler", "method"),
        "registry_http_request_duration_seconds_bucket": ("handler", "le", "method"),
        "registry_http_in_flight_requests": ("handler",),
        "registry_http_response_size_bytes_bucket": ("handler", "le"),
    }
    for name, labels in names.items():
        found = shared.samples(name)
        assert {tuple(label for label, _ in key) for key in found} == {labels}
        assert handlers <= {dict(key)["handler"] for key in found}
    actions = shared.samples("registry_storage_action_seconds_count", driver="filesystem")
    assert {"GetContent", "PutContent", "Stat"} <= {dict(key)["action"] for key in actions}
    assert shared.total("pyregistry_storage_room_bytes") > 0


def test_no_client_can_make_labels_without_end(shared: Watched) -> None:
    for number in range(30):
        ask(shared.server, f"M{number}", "/v2/")
        ask(shared.server, "GET", f"/nowhere{number}")
        ask(shared.server, "GET", f"/v2/repository{number}/tags/list")
    before = len(shared.samples("registry_http_requests_total"))
    for number in range(30, 60):
        ask(shared.server, f"M{number}", "/v2/")
        ask(shared.server, "GET", f"/nowhere{number}")
        ask(shared.server, "GET", f"/v2/repository{number}/tags/list")
    assert len(shared.samples("registry_http_requests_total")) == before
    assert b"repository3" not in shared.ask("/metrics").body


def test_those_who_watch_are_not_counted(shared: Watched) -> None:
    before = shared.samples("registry_http_requests_total")
    for path in ["/", "/livez", "/readyz"]:
        ask(shared.server, "GET", path)
    assert shared.samples("registry_http_requests_total") == before


def test_the_debug_address_says_what_it_has_and_no_more(shared: Watched) -> None:
    answer = shared.ask("/debug/health")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"{}", "application/json")
    assert shared.ask("/v2/").status == 404
    assert shared.ask("/debug/health", method="POST").status == 405
    assert shared.ask("/metrics").headers["Content-Type"].startswith("text/plain; version=")
    assert shared.ask("/metrics", "application/openmetrics-text").body.endswith(b"# EOF\n")
    assert ask(shared.server, "GET", "/metrics").status == 404
    assert ask(shared.server, "GET", "/debug/health").status == 404
    assert {answer.headers["Server"], shared.ask("/nowhere").headers["Server"]} == {"pyregistry"}


def test_the_counts_of_a_killed_worker_stay_and_what_it_had_under_way_is_over(watched: Watched) -> None:
    server = watched.server
    location = start_upload(server, "app")
    for _ in range(100):
        assert ask(server, "GET", "/v2/").status == 200
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 500)
        flight = {"handler": "blob_upload_chunk"}
        wait_until(lambda: watched.total("registry_http_in_flight_requests", **flight) == 1, "it is under way")
        before = watched.total("registry_http_requests_total", handler="base")
        killed = workers_of(server)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(server)) - set(killed)) == WORKERS, "all are replaced")
    assert watched.total("registry_http_in_flight_requests", **flight) == 0
    assert watched.total("registry_http_requests_total", handler="base") == before >= 100
    assert ask(server, "GET", "/v2/").status == 200
    assert watched.total("registry_http_requests_total", handler="base") == before + 1
    assert watched.total("registry_http_request_duration_seconds_count", handler="base") == before + 1


def test_workers_that_come_and_go_leave_no_files_behind_but_their_counts(watched: Watched) -> None:
    server = watched.server
    for round_ in range(1, 4):
        for _ in range(20):
            assert ask(server, "GET", "/v2/_catalog").status == 200
        before = set(workers_of(server))
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: not before & set(workers_of(server)), "all workers are new ones")  # noqa: B023 - called within this turn
        assert watched.total("registry_http_requests_total", handler="catalog") == 20 * round_
        [directory] = watched.directories
        pids = {file.stem.rpartition("_")[2] for file in directory.glob("*.db")}
        wait_until(lambda: len(list(directory.glob("counter_*"))) <= WORKERS + 1, "files are merged")  # noqa: B023 - called within this turn
        assert "ended" in pids


def test_the_debug_address_answers_while_workers_die_and_while_the_config_changes(watched: Watched) -> None:
    failures: list[object] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                answer = watched.ask("/metrics")
                if answer.status != 200:
                    failures.append(answer)
            except (ConnectionError, http.client.HTTPException) as error:
                failures.append(error)
            time.sleep(0.01)

    for _ in range(50):
        assert ask(watched.server, "GET", "/v2/").status == 200
    before = watched.total("registry_http_requests_total", handler="base", code="200")
    looking = threading.Thread(target=look)
    looking.start()
    old = set(workers_of(watched.server))
    configure(watched.server, storage={"delete": {"enabled": False}})
    wait_until(lambda: not old & set(workers_of(watched.server)), "all workers are new ones")
    refused = len(failures)
    for pid in workers_of(watched.server)[:2]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(workers_of(watched.server)) == WORKERS, "they are replaced")
    time.sleep(0.2)
    done.set()
    looking.join()
    assert refused == 0, failures
    assert len(failures) <= 2, failures  # whose answer was being written by a worker that was killed
    assert watched.total("registry_http_requests_total", handler="base", code="200") >= before


def test_the_files_are_private_and_gone_with_the_server(watched: Watched) -> None:
    [directory] = watched.directories
    assert directory.stat().st_mode & 0o777 == 0o700
    ask(watched.server, "GET", "/v2/")
    assert list(directory.glob("*.db"))
    os.kill(workers_of(watched.server)[0], signal.SIGTERM)
    wait_until(lambda: len(workers_of(watched.server)) == WORKERS, "it is replaced")
    assert watched.directories == [directory], "a worker that ended took them along"
    assert watched.server.stop() == 0
    assert watched.directories == []


def test_nothing_is_counted_where_nobody_would_see_it(tmp_path: Path) -> None:
    with watched_server(tmp_path, http={"debug": {"addr": f"127.0.0.1:{free_port()}"}}) as watched:
        for _ in range(20):
            assert ask(watched.server, "GET", "/v2/").status == 200
        assert ask(watched.server, "GET", "/metrics").status == 404
        assert [file for directory in watched.directories for file in directory.glob("*.db")] == []


def test_the_main_address_shows_metrics_if_told_to_and_asks_for_the_password(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    with pyregistry_server(
        tmp_path, pyregistry={"workers": 2, "metrics": True}, auth=auth_section(tmp_path / "htpasswd")
    ) as server:
        for _ in range(10):
            assert ask(server, "GET", "/v2/").status == 401
        assert ask(server, "GET", "/metrics").status == 401
        answer = ask(server, "GET", "/metrics", headers=basic("alice", "wonderland"))
    assert answer.status == 200
    counted = re.search(rb'registry_http_requests_total\{code="401",handler="base",method="get"\} (\S+)', answer.body)
    assert counted is not None
    assert float(counted[1]) >= 10


def test_where_there_are_rules_metrics_are_for_users(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    rules = [{"repositories": "**", "who": "anonymous", "actions": "pull"}]
    own = {"metrics": True, "access": rules}
    with pyregistry_server(tmp_path, auth=auth_section(tmp_path / "htpasswd"), pyregistry=own) as server:
        token = json.loads(ask(server, "GET", "/auth/token?service=pyregistry").body)["token"]
        for headers, status in (
            ({}, 401),
            ({"Authorization": f"Bearer {token}"}, 401),
            (basic("alice", "wonderland"), 200),
        ):
            assert ask(server, "GET", "/metrics", headers=headers).status == status


def test_sighup_begins_and_ends_the_counting(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}) as server:
        assert ask(server, "GET", "/metrics").status == 404
        configure(server, pyregistry={"metrics": True})
        wait_until(lambda: answers(server, "GET", "/metrics", 200), "metrics are shown")
        wait_until(lambda: answers(server, "GET", "/v2/none/tags/list", 404), "a request is answered")
        wait_until(lambda: b'handler="tags"' in ask(server, "GET", "/metrics").body, "requests are counted")
        configure(server, pyregistry={"metrics": False})
        wait_until(lambda: answers(server, "GET", "/metrics", 404), "they are no more")


def test_another_debug_address_needs_a_restart_and_the_log_says_so(watched: Watched) -> None:
    configure(watched.server, http={"debug": {"addr": "127.0.0.1:1"}})
    wait_until(lambda: "http.debug.addr changes with a restart only" in watched.server.output(), "the log says so")
    assert watched.ask("/debug/health").status == 200


def test_not_ready_while_the_process_ends(watched: Watched) -> None:
    with socket.create_connection(("127.0.0.1", watched.server.port)) as connection:
        time.sleep(0.2)  # a worker has it
        os.kill(watched.server.pid, signal.SIGTERM)
        wait_until(watched.server._refuses, "it listens no more")
        time.sleep(0.3)
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"not ready: draining" in answer


def test_unhealthy_is_told_on_the_debug_address_with_the_reason(tmp_path: Path) -> None:
    down = tmp_path / "down"
    checks = {"file": [{"file": str(down), "interval": "100ms"}]}
    with watched_server(tmp_path, health=checks, pyregistry={"workers": 2}) as watched:
        assert watched.ask("/debug/health").body == b"{}"
        down.touch()
        wait_until(lambda: {watched.ask("/debug/health").status for _ in range(8)} == {503}, "all workers tell it")
        answer = watched.ask("/debug/health")
        assert answer.body == f'{{"{down}":"file exists"}}'.encode()
        wait_until(lambda: {ask(watched.server, "GET", "/v2/").status for _ in range(8)} == {503}, "all workers know")
        assert watched.ask("/metrics").status == 200
        assert ask(watched.server, "GET", "/livez").status == 200
        down.unlink()
        wait_until(lambda: {ask(watched.server, "GET", "/v2/").status for _ in range(8)} == {200}, "all workers know")
