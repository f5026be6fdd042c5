"""`pyregistry check-config`, as a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyregistry.config.load import load, parse
from tests.auth.credentials import write_htpasswd
from tests.authority import Authority

LEAST = "version: 0.1\nstorage: {filesystem: {}}\n"
FULL = """
version: 0.1
storage: {filesystem: {rootdirectory: /data}, delete: {enabled: true}, maintenance: {uploadpurging: {age: 1h30m}}}
auth: {htpasswd: {realm: r, path: DIRECTORY/users}}
http:
  addr: ":80"
  draintimeout: 1500ms
  tls: {certificate: DIRECTORY/server.pem, key: DIRECTORY/server.key, clientcas: [DIRECTORY/ca.pem]}
  headers: {X: [y]}
validation: {manifests: {indexes: {platforms: list, platformlist: [{os: linux, architecture: arm64}]}}}
pyregistry: {workers: 3, limits: {blob-size: 5}}
"""


def check(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return command("check-config", *arguments, **environ)


def command(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """One that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "pyregistry", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize("text", [LEAST, FULL, "version: 0.1\nstorage: inmemory\n"], ids=["least", "full", "inmemory"])
def test_what_it_prints_is_a_config_that_means_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text.replace("DIRECTORY", str(tmp_path)))
    if text is FULL:
        write_htpasswd(tmp_path / "users", {"alice": "wonderland"})
        (tmp_path / "users").chmod(0o600)
        Authority(tmp_path).issue("server")
    done = check(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert parse(done.stdout, {}) == load(path, {})


def test_the_environment_is_laid_over_and_warnings_go_to_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(LEAST + "http: {adrr: ':1'}\nnotifications: {endpoints: [{name: x}]}\n")
    done = check(REGISTRY_CONFIGURATION_PATH=str(path), REGISTRY_HTTP_ADDR=":7")
    assert parse(done.stdout, {})[0].http.addr == ":7"
    warnings = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in warnings] == [
        "http.adrr",
        "notifications.endpoints",
    ]
    assert "did you mean http.addr?" in done.stderr


def test_a_config_that_would_be_refused_ends_with_2_and_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(LEAST + "proxy: {remoteurl: 'https://example.org'}\n")
    done = check(str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "proxy" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ("validation: {manifests: {urls: {allow: ['[']}}}", "validation.manifests.urls.allow: '['"),
        ("validation: {manifests: {urls: {deny: ['(']}}}", "validation.manifests.urls.deny: '('"),
        ("auth: {htpasswd: {realm: r, path: /none/users}}", "auth.htpasswd.path: /none/users: No such file"),
        ("auth: {token: {realm: r, service: s, issuer: i}}", "auth.token"),
        ("http: {tls: {certificate: /none/server.pem, key: /none/server.key}}", "http.tls.certificate: /none/server"),
        ("http: {addr: '127.0.0.1:port'}", "http.addr: '127.0.0.1:port', expected HOST:PORT"),
        ("http: {addr: 'a..b:5000'}", "http.addr: 'a..b:5000', expected HOST:PORT"),
        ("http: {debug: {addr: '127.0.0.1'}}", "http.debug.addr: '127.0.0.1', expected HOST:PORT"),
        ("health: {http: [{uri: x}]}", "health.http[0].uri"),
        ("health: {tcp: [{addr: x}]}", "health.tcp[0].addr"),
    ],
)
def test_it_refuses_what_a_server_refuses_in_the_same_words(tmp_path: Path, section: str, named: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n{section}\n")
    checked = check(str(path))
    assert (checked.returncode, checked.stdout) == (2, "")
    assert named in checked.stderr
    assert not (tmp_path / "data").exists()  # it only looks
    served = command("serve", str(path))
    assert (served.returncode, served.stderr) == (checked.returncode, checked.stderr)


def test_users_who_would_be_left_out_are_warned_of(tmp_path: Path) -> None:
    users = tmp_path / "users"
    write_htpasswd(users, {"alice": "wonderland"})
    users.write_text(users.read_text() + "mallory:plain\n")
    users.chmod(0o600)
    path = tmp_path / "config.yml"
    path.write_text(f"{LEAST}auth: {{htpasswd: {{realm: r, path: {users}}}}}\n")
    done = check(str(path))
    assert (done.returncode, done.stderr.count("mallory")) == (0, 1)


def test_what_a_health_check_sends_is_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    uri = "https://user:secret-word@example.org/v2/?token=secret-word"
    path.write_text(f"{LEAST}health: {{http: [{{uri: '{uri}', headers: {{Authorization: [Basic secret-word]}}}}]}}\n")
    printed = check(str(path)).stdout
    assert "secret-word" not in printed
    assert "https://***@example.org/v2/?***" in printed
    assert "Authorization" in printed
