"""Figures for panels and alerts other than counts of requests, over all processes of a service."""

import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pyregistry import __version__
from pyregistry.observe.survey import pause_after
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.authority import Authority
from tests.builders import OCI_MANIFEST, digest_of, image
from tests.cli.running import run_process
from tests.processes import Server, data_directory, wait_until
from tests.workers.http import ask, start_upload
from tests.workers.test_held_locks import push, stopped_collector
from tests.workers.test_reload import configure
from tests.workers.watching import WORKERS, Watched, watched_server
from tests.workers.workers import workers_of

_IMAGE = image(b"layer one", b"layer two")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with watched_server(tmp_path) as running:
        yield running


def push_image(server: Server, name: str = "app") -> None:
    for blob in _IMAGE.blobs:
        assert ask(server, "POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(blob)}", blob).status == 201
    typed = {"Content-Type": OCI_MANIFEST}
    assert ask(server, "PUT", f"/v2/{name}/manifests/v1", _IMAGE.content, typed).status == 201


def test_the_processes_are_those_of_the_system(watched: Watched) -> None:
    pids = [watched.server.pid, *workers_of(watched.server)]
    resident = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        resident += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    limits = Path(f"/proc/{watched.server.pid}/limits").read_text()
    [most] = [line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")]
    assert watched.total("pyregistry_workers") == watched.total("pyregistry_workers_configured") == WORKERS
    assert resident / 10 < watched.total("process_resident_memory_bytes") < resident * 2  # shared pages count once
    assert watched.total("process_virtual_memory_bytes") > resident
    assert watched.total("process_max_fds") == int(most)
    assert 5 < watched.total("process_open_fds") < int(most)
    assert abs(watched.total("process_start_time_seconds") - watched.server.config.stat().st_mtime) < 60
    each = watched.samples("pyregistry_process_open_fds")
    assert {dict(key)["process"] for key in each} == {"master", *(str(number + 1) for number in range(WORKERS))}
    assert max(each.values()) == pytest.approx(watched.total("process_open_fds"), abs=3)
    assert watched.total("process_network_receive_bytes_total") > 0


def test_processor_time_never_falls_while_workers_are_replaced(watched: Watched) -> None:
    name, seen = "process_cpu_seconds_total", [0.0]
    for kill in (signal.SIGKILL, signal.SIGTERM):
        before = workers_of(watched.server)
        for pid in before:
            os.kill(pid, kill)
        wait_until(partial(_is_replaced, watched, before, seen), "all are replaced, and scrapes go on")
    assert seen == sorted(seen)
    assert seen[-1] > seen[1]
    pids = [watched.server.pid, *workers_of(watched.server)]
    assert watched.total(name) >= sum(_own_seconds(pid) for pid in pids) * 0.9


def _is_replaced(watched: Watched, before: list[int], seen: list[float]) -> bool:
    try:
        seen.append(watched.total("process_cpu_seconds_total"))
    except OSError:  # the worker that answered was killed
        return False
    now = workers_of(watched.server)
    return len(now) == WORKERS and not set(before) & set(now)


def _own_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def test_the_version_is_a_label(watched: Watched) -> None:
    [(labels, value)] = watched.samples("pyregistry_build_info").items()
    assert (dict(labels)["version"], value) == (__version__, 1)


def test_ends_of_workers_are_counted_by_their_way(watched: Watched) -> None:
    name = "pyregistry_worker_ends_total"
    assert watched.samples(name) == {(("reason", reason),): 0 for reason in ("failed", "killed", "stopped")}
    os.kill(workers_of(watched.server)[0], signal.SIGKILL)
    wait_until(lambda: watched.total(name, reason="killed") == 1, "the killed one is counted")
    before = workers_of(watched.server)
    os.kill(watched.server.pid, signal.SIGHUP)
    wait_until(lambda: not set(before) & set(workers_of(watched.server)), "all workers are new ones")
    wait_until(lambda: watched.total(name, reason="stopped") >= WORKERS, "the stopped ones are counted")
    assert watched.total(name, reason="killed") == 1
    assert watched.total(name, reason="failed") == 0


def test_failed_logins_are_counted_by_the_reason(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    own = {"workers": 1, "access": [{"repositories": "**", "who": "alice", "actions": "pull"}]}
    with watched_server(tmp_path, auth=auth_section(tmp_path / "htpasswd"), pyregistry=own) as watched:
        name = "pyregistry_failed_logins_total"
        assert {dict(key)["reason"] for key in watched.samples(name)} == {"wrong", "throttled", "token"}
        for _ in range(3):
            assert ask(watched.server, "GET", "/v2/", headers=basic("alice", "wrong")).status == 401
        assert ask(watched.server, "GET", "/v2/").status == 401  # asks for nothing, so that it fails in nothing
        assert ask(watched.server, "GET", "/v2/", headers=basic("alice", "wonderland")).status == 200
        wait_until(lambda: watched.total(name, reason="wrong") == 3, "wrong passwords are counted")
        assert ask(watched.server, "GET", "/v2/", headers={"Authorization": "Bearer x.y.z"}).status == 401
        wait_until(lambda: watched.total(name, reason="token") == 1, "the token is counted")

        def guess(number: int) -> int:
            return ask(watched.server, "GET", "/v2/", headers=basic("bob", str(number))).status

        with ThreadPoolExecutor(16) as pool:  # one after the other could be slow enough to be let in
            statuses = list(pool.map(guess, range(40)))
        refused = statuses.count(429)
        assert refused
        wait_until(lambda: watched.total(name, reason="throttled") == refused, "the throttled ones are counted")
        assert watched.total("registry_http_requests_total", code="429") == refused
        assert watched.total(name, reason="wrong") == 3 + statuses.count(401)
        assert watched.total("pyregistry_passwords_waiting") == 0


def test_passwords_that_wait_are_seen(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"}, cost=13)  # half a second for each
    with watched_server(tmp_path, auth=auth_section(tmp_path / "htpasswd"), pyregistry={"workers": 1}) as watched:

        def log_in(number: int) -> int:
            source = f"127.0.9.{number + 1}"
            return ask(watched.server, "GET", "/v2/", headers=basic("alice", str(number)), source=source).status

        with ThreadPoolExecutor(10) as pool:
            logins = [pool.submit(log_in, number) for number in range(10)]
            wait_until(lambda: watched.total("pyregistry_passwords_waiting") >= 2, "some wait")
        assert {login.result() for login in logins} <= {401, 429}
        wait_until(lambda: watched.total("pyregistry_passwords_waiting") == 0, "none waits")


def test_finds_in_memory_are_counted_under_the_names_of_both_generations(tmp_path: Path) -> None:
    with watched_server(tmp_path, pyregistry={"workers": 1}) as watched:
        push_image(watched.server)
        time.sleep(3.1)  # a link that was written just now is not remembered
        for _ in range(5):
            assert ask(watched.server, "GET", "/v2/app/manifests/v1").status == 200
        requests, hits = "registry_storage_cache_requests_total", "registry_storage_cache_hits_total"
        wait_until(lambda: watched.total(requests) == 5, "five requests are counted")
        assert watched.total(hits) == 4
        by_type = {dict(key)["type"]: value for key, value in watched.samples("registry_storage_cache_total").items()}
        assert by_type == {"Request": 5, "Hit": 4, "Miss": 1}
        assert watched.total("registry_storage_cache_errors_total") == 0


def test_repositories_and_open_uploads_are_counted_soon_after_the_start(watched: Watched) -> None:
    push_image(watched.server, "team/app")
    push_image(watched.server, "team/other")
    location = start_upload(watched.server, "team/app")
    assert ask(watched.server, "PATCH", location, b"12345").status == 202
    watched.server.restart()
    wait_until(lambda: watched.total("pyregistry_repositories") == 2, "repositories are counted")
    assert watched.total("pyregistry_uploads_open") == 1
    assert watched.total("pyregistry_uploads_open_bytes") == 5
    assert abs(time.time() - watched.total("pyregistry_survey_timestamp_seconds")) < 60
    [directory] = watched.directories
    before = (directory / "survey.json").stat().st_ino
    old = workers_of(watched.server)
    os.kill(watched.server.pid, signal.SIGHUP)
    wait_until(lambda: not set(old) & set(workers_of(watched.server)), "all workers are new ones")
    time.sleep(2.5)  # each of them has looked whether there is something to do
    assert (directory / "survey.json").stat().st_ino == before, "another walk, within a minute"


@pytest.mark.parametrize(("took", "pause"), [(0.0, 60), (0.3, 60), (1, 200), (18, 3600), (600, 3600)])
def test_surveys_take_half_a_percent_of_a_thread(took: float, pause: float) -> None:
    assert pause_after(took) == pause


@pytest.mark.parametrize("command", [("gc",), ("du", "--json")], ids=["gc", "du"])
def test_the_bytes_of_all_blobs_are_those_of_the_last_command_that_counted(
    watched: Watched, command: tuple[str, ...]
) -> None:
    push_image(watched.server)
    assert watched.samples("pyregistry_storage_blob_bytes") == {}
    run_process(*command, watched.server.config, status=0)
    contents = {*_IMAGE.blobs, _IMAGE.content}
    assert watched.total("pyregistry_storage_blobs") == len(contents)
    assert watched.total("pyregistry_storage_blob_bytes") == sum(map(len, contents))
    assert abs(time.time() - watched.total("pyregistry_storage_counted_timestamp_seconds")) < 60


def test_the_file_system_is_that_of_the_data_directory(watched: Watched) -> None:
    usage = os.statvfs(data_directory(watched.server.directory))
    name = "pyregistry_storage_filesystem"
    assert watched.samples(f"{name}_size_bytes") == {(("mount", "."),): usage.f_blocks * usage.f_frsize}
    assert watched.total(f"{name}_files") == usage.f_files
    free = watched.total(f"{name}_free_bytes")
    assert free == pytest.approx(usage.f_bavail * usage.f_frsize, rel=0.2)  # others use the disk, too
    assert watched.total(f"{name}_files_free") == pytest.approx(usage.f_favail, rel=0.2)


def test_a_config_that_cannot_be_used_shows_until_the_next_good_one(watched: Watched) -> None:
    name = "pyregistry_config_last_reload"
    begun = watched.total(f"{name}_timestamp_seconds")
    assert watched.total(f"{name}_successful") == 1
    configure(watched.server, http={"addr": 5})
    wait_until(lambda: watched.total(f"{name}_successful") == 0, "the failure shows")
    assert watched.total(f"{name}_timestamp_seconds") > begun
    configure(watched.server, http={"addr": watched.server.host})
    wait_until(lambda: watched.total(f"{name}_successful") == 1, "the next good one shows")


def test_the_end_of_the_certificate_is_that_of_the_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    ends = ssl.cert_time_to_seconds(ssl._ssl._test_decode_cert(str(certificate))["notAfter"])  # type: ignore[attr-defined] # private
    with watched_server(tmp_path, pyregistry={"workers": 1}) as watched:
        name = "pyregistry_tls_certificate_expiry_timestamp_seconds"
        assert watched.samples(name) == {}
        configure(watched.server, http={"tls": {"certificate": str(certificate), "key": str(key)}})
        wait_until(lambda: watched.total(name) == ends, "the end of the certificate shows")
        damaged = certificate.read_bytes()[:200]
        certificate.write_bytes(damaged)
        wait_until(lambda: watched.samples(name) == {}, "a damaged file shows nothing, and no scrape fails")


def test_who_waits_for_a_lock_is_seen(watched: Watched) -> None:
    push_image(watched.server)
    with stopped_collector(watched.server), ThreadPoolExecutor(3) as pool:
        pushes = [pool.submit(push, watched.server, number) for number in range(3)]
        wait_until(lambda: watched.total("pyregistry_lock_waiters") == 3, "three pushes wait")
        wait_until(lambda: watched.total("pyregistry_threads_busy", room="writes") >= 3, "their threads are busy")
        assert watched.total("pyregistry_threads", room="writes") >= 3
    assert len([done.result() for done in pushes]) == 3
    wait_until(lambda: watched.total("pyregistry_lock_waiters") == 0, "none waits")


def test_connections_and_the_ones_that_a_limit_ended_are_counted(tmp_path: Path) -> None:
    own = {"workers": 1, "limits": {"connections-per-address": 3}}
    with watched_server(tmp_path, pyregistry=own) as watched:
        wait_until(lambda: watched.total("pyregistry_connections") == 0, "all are closed")
        connections = [socket.create_connection(("127.0.0.1", watched.server.port)) for _ in range(5)]
        wait_until(lambda: watched.total("pyregistry_connections_ended_total") == 2, "two were ended")
        wait_until(lambda: watched.total("pyregistry_connections") == 3, "three are left")
        for connection in connections:
            connection.close()
        wait_until(lambda: watched.total("pyregistry_connections") == 0, "none is left")


def test_a_failing_check_of_health_shows(tmp_path: Path) -> None:
    down = tmp_path / "down"
    checks = {"file": [{"file": str(down), "interval": "100ms"}]}
    with watched_server(tmp_path, health=checks, pyregistry={"workers": 2}) as watched:
        name = "pyregistry_health_checks_failing"
        assert watched.total(name) == 0
        down.touch()
        wait_until(lambda: watched.total(name) == 1, "it is the highest of the workers, and no sum")


def test_a_registry_in_memory_shows_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_STORAGE", "inmemory")
    with watched_server(tmp_path, pyregistry={"workers": 1}) as watched:
        push_image(watched.server)
        assert watched.total("registry_storage_action_seconds_count", driver="inmemory") > 0
        assert watched.samples("pyregistry_storage_filesystem_size_bytes") == {}
        assert watched.total("pyregistry_workers") == 1
