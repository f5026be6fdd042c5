"""Lines of the log at the start and the end, and signals that come early."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyregistry import __version__
from pyregistry.storage.local import number_of_repositories
from pyregistry.storage.local.number_of_repositories import count_repositories
from tests.auth.credentials import auth_section, write_htpasswd
from tests.processes import SOURCE_TREE, Server, data_directory, pyregistry_server, wait_until
from tests.workers.http import start_upload

_V2 = "docker/registry/v2"
_OPEN = "may push, pull and delete without a password"


def _make_repositories(root: Path, *names: str) -> None:
    for name in names:
        (root / _V2 / "repositories" / name / "_manifests").mkdir(parents=True)


def _entries(server: Server) -> list[dict[str, Any]]:
    """Each line of standard error, which has to be JSON."""
    lines = [line for line in server.log.read_text().splitlines() if '"method"' not in line]
    return [json.loads(line) for line in lines]


def _entry(server: Server, event: str) -> dict[str, Any]:
    [found] = [entry for entry in _entries(server) if entry["event"] == event]
    return found


def test_the_start_and_the_end_are_lines_of_json_with_fields(tmp_path: Path) -> None:
    _make_repositories(data_directory(tmp_path), "app", "team/app", "team/app/nested")
    gc = {"gc": {"interval": "24h"}, "workers": 2}
    with pyregistry_server(tmp_path, log={"formatter": "json"}, pyregistry=gc) as server:
        start = _entry(server, "pyregistry starts")
        assert start["version"] == __version__
        data = _entry(server, "data directory")
        assert data["directory"] == str(data_directory(tmp_path))
        assert data["repositories"] == "3"
        settings = _entry(server, "settings")
        said = {key: settings[key] for key in ("auth", "rules", "tls", "delete", "gc")}
        assert said == {"auth": "none", "rules": "none", "tls": "off", "delete": "on", "gc": "every 86400s"}
        listening = _entry(server, "listening")
        assert (listening["url"], listening["address"], listening["workers"]) == (server.url, server.host, 2)
        os.kill(server.pid, signal.SIGWINCH)  # of each change of a terminal's size
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: server.output().count('"settings"') == 2, "it is reloaded, and says what is in force")
        server.stop()
        told = [entry["signal"] for entry in _entries(server) if entry["event"] == "signal received"]
        assert told == ["SIGHUP", "SIGTERM"]
        assert _entry(server, "stopping: running requests may end, a second signal aborts them")["seconds"] == 30
        assert _entries(server)[-1]["event"] == "stopped"
        assert _entries(server)[-1]["status"] == 0


def test_a_second_signal_is_told_from_a_quiet_end(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, pyregistry={"workers": 1}) as server:
        location = start_upload(server, "app")
        with socket.create_connection(("127.0.0.1", server.port), 5) as client:
            target = location.removeprefix(server.url)
            headers = "Host: x\r\nContent-Length: 9\r\nExpect: 100-continue"
            client.sendall(f"PATCH {target} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 100 "), "the request runs"
            os.kill(server.pid, signal.SIGTERM)
            wait_until(lambda: "stopping" in server.output(), "it stops")
            os.kill(server.pid, signal.SIGTERM)
            wait_until(lambda: "stopped by a second signal: requests were aborted" in server.output(), "it is logged")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("missing", "the data directory was missing and has been created"),
        ("empty", "the data directory is empty"),
        ("used before", "the data directory is empty"),
        ("blobs alone", "the data directory has blobs and no repositories"),
    ],
)
def test_a_data_directory_without_images_stands_out(tmp_path: Path, state: str, said: str) -> None:
    made, data = pyregistry_server(tmp_path, pyregistry={"workers": 1}), data_directory(tmp_path)
    if state == "missing":
        data.rmdir()
    elif state == "used before":
        (data / _V2 / "repositories").mkdir(parents=True)
    elif state == "blobs alone":
        (data / _V2 / "blobs/sha256/00").mkdir(parents=True)
    with made as server:
        [line] = [line for line in server.output().splitlines() if said in line]
        assert re.search(r"\[warning *\]", line)
        assert f"directory={data}" in line


def test_images_in_memory_are_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "memory.yml"
    made = pyregistry_server(tmp_path, pyregistry={"workers": 1})
    document = yaml.safe_load(made.config.read_text())
    document["storage"] = {"inmemory": {}}
    config.write_text(yaml.safe_dump(document))
    with Server([*made.command[:-1], str(config)], tmp_path, made.port, config) as server:
        assert "images are kept in memory and lost when this process ends" in server.output()


HTPASSWD = "htpasswd"
OPEN: dict[str, tuple[dict[str, Any], bool]] = {
    "all addresses": ({"http": {"addr": ":PORT"}}, True),
    "all addresses of IPv4": ({"http": {"addr": "0.0.0.0:PORT"}}, True),
    "this machine": ({"http": {"addr": "127.0.0.1:PORT"}}, False),
    "without deletions": ({"http": {"addr": ":PORT"}, "storage": {"delete": {"enabled": False}}}, False),
    "reads alone": (
        {"http": {"addr": ":PORT"}, "storage": {"maintenance": {"readonly": {"enabled": True}}}},
        False,
    ),
    "any password": ({"http": {"addr": ":PORT"}, "auth": {"silly": {"realm": "r", "service": "s"}}}, True),
    "passwords": ({"http": {"addr": ":PORT"}, "auth": HTPASSWD}, False),
    "rules for strangers": (
        {
            "http": {"addr": ":PORT"},
            "pyregistry": {"access": [{"repositories": "**", "who": "everyone", "actions": "pull"}]},
        },
        False,
    ),
}


@pytest.mark.parametrize("case", OPEN)
def test_deletions_without_a_password_from_everywhere_are_one_warning(tmp_path: Path, case: str) -> None:
    sections, warns = OPEN[case]
    made = pyregistry_server(tmp_path, pyregistry={"workers": 1})
    document = yaml.safe_load(made.config.read_text())
    addr = sections["http"]["addr"].replace("PORT", str(made.port))
    if sections.get("auth") == HTPASSWD:
        write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
        sections = {**sections, "auth": auth_section(tmp_path / "htpasswd")}
    document["http"]["addr"] = addr
    document["storage"] |= sections.get("storage", {})
    document |= {key: value for key, value in sections.items() if key == "auth"}
    document["pyregistry"] |= sections.get("pyregistry", {})
    made.config.write_text(yaml.safe_dump(document))
    with made as server:
        output = server.output()
    assert output.count(_OPEN) == warns, output
    for key in ("set auth.htpasswd", "http.addr", "storage.delete.enabled: false"):
        assert (key in output) == warns
    scheme = "localhost" if addr.startswith((":", "0.0.0.0")) else "127.0.0.1"
    assert f"url=http://{scheme}:{server.port}" in output


def test_counting_stops_at_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_repositories(tmp_path, *(f"team/app{number}" for number in range(30)))
    _make_repositories(tmp_path, "lost+found/lost", ".snapshot/hourly.0/team/app0")
    assert count_repositories(tmp_path) == "30"
    monkeypatch.setattr(number_of_repositories, "MOST_REPOSITORIES", 10)
    assert count_repositories(tmp_path) == "10+"
    monkeypatch.undo()
    ticks = iter(range(1000))
    assert count_repositories(tmp_path, clock=lambda: next(ticks)).endswith("+")


def test_tls_to_the_plain_port_is_answered_and_logged_once(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, log={"formatter": "json"}, pyregistry={"workers": 1}) as server:
        for _ in range(3):
            done = subprocess.run(
                ["curl", "-sS", "-k", f"https://127.0.0.1:{server.port}/v2/"],
                capture_output=True,
                timeout=20,
                check=False,
            )
            assert done.returncode == 35, done.stderr  # no TLS handshake
        with socket.create_connection(("127.0.0.1", server.port), 5) as client:
            client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505))
            # By these first bytes Go's clients know it, and say "server gave HTTP response to HTTPS client".
            assert client.recv(100).startswith(b"HTTP/1.0 400 Bad Request\r\n")
        told = [entry for entry in _entries(server) if entry["event"].startswith("a client speaks TLS to this port")]
        assert [(entry["level"], entry["client"]) for entry in told] == [("info", "127.0.0.1")]
        assert "http.tls" in told[0]["event"]


_HANGING_UP = """
import os, signal, sys
sys.argv = ["pyregistry", "serve", sys.argv[1]]
import pyregistry.common.early
hold = pyregistry.common.early.hold_hangup
def hold_and_hang_up(words):
    hold(words)
    os.kill(os.getpid(), signal.SIGHUP)
pyregistry.common.early.hold_hangup = hold_and_hang_up
from pyregistry.cli import main
main()
"""


def test_sighup_while_it_starts_is_carried_out_when_it_is_ready(tmp_path: Path) -> None:
    made = pyregistry_server(tmp_path, pyregistry={"workers": 1})
    made.command = [sys.executable, "-c", _HANGING_UP, str(made.config)]
    with made as server:
        wait_until(lambda: "config reloaded" in server.output(), "it is reloaded")
        assert server.answers()
        for pid in (server.pid, *_children(server.pid)):
            assert not _is_blocked(pid, signal.SIGHUP)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_blocked(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = re.search(r"^SigBlk:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert mask is not None
    return bool(int(mask[1], 16) >> (number - 1) & 1)


_SHOW_MASK = "import signal; print(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["serve", "config.yml"], True),
        (["config.yml"], True),
        (["registry", "serve", "config.yml"], True),
        (["/bin/registry", "serve"], True),
        (["gc", "config.yml"], False),
        (["registry", "garbage-collect", "config.yml"], False),
        (["ls"], False),
        ([], False),
    ],
)
def test_only_a_server_holds_a_hangup_back_and_what_it_executes_inherits_that(words: list[str], holds: bool) -> None:
    code = f"import os, sys; import pyregistry.cli; os.execv(sys.executable, [sys.executable, '-c', {_SHOW_MASK!r}])"
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCE_TREE, timeout=60)
    assert done.stdout.strip() == str(holds)


@pytest.mark.parametrize("words", [["serve", "{config}"], ["{config}"]])
def test_the_entry_point_lives_through_a_hangup_from_its_first_line(tmp_path: Path, words: list[str]) -> None:
    """As the image runs it, but with a user of its own, so that it gives nothing away."""
    made = pyregistry_server(tmp_path, pyregistry={"workers": 1})
    code = (
        "import sys, os, signal, pyregistry.common.early as early\nhold = early.hold_hangup\n"
        "def hang_up(words):\n    hold(words)\n    os.kill(os.getpid(), signal.SIGHUP)\n"
        "early.hold_hangup = hang_up\nos.geteuid = lambda: 1\n"
        f"exec(open({str(SOURCE_TREE / 'entrypoint.py')!r}).read())"
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "registry"
    program.write_text(f"#!{sys.executable}\nfrom pyregistry.cli.registry import main\nmain()\n")
    program.chmod(0o755)
    made.command = [sys.executable, "-c", code, *(word.format(config=made.config) for word in words)]
    made.env["PATH"] = f"{programs}:{made.env['PATH']}"
    with made as server:
        wait_until(lambda: "config reloaded" in server.output(), "it is reloaded")
