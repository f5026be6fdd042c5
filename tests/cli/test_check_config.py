"""`pyregistry check-config`, as a command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pyregistry.config.load import load, parse
from pyregistry.service.effective_settings import effective_config, worker_count
from pyregistry.service.health_config import checks
from pyregistry.service.wiring import api_settings
from tests import forked
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
    """Run a process that ends by itself."""
    return forked.run_text([sys.executable, "-m", "pyregistry", *words], env={**os.environ, **environ})


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
    loaded, warnings = load(path, {})
    assert parse(done.stdout, {}) == (effective_config(loaded), warnings)


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


SAYS_NOTHING = """
version: 0.1
storage: {filesystem: {rootdirectory: DIRECTORY/data}}
catalog: {maxentries: 0}
tags: {maxtags: 0}
health:
  file: [{file: /a}]
  http: [{uri: "http://a.test/"}, {uri: "http://b.test/", interval: 3s}]
  tcp: [{addr: "a.test:1"}]
"""


def test_the_values_are_those_that_a_server_uses(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(SAYS_NOTHING.replace("DIRECTORY", str(tmp_path)))
    done = check(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    shown = yaml.safe_load(done.stdout)
    assert shown["http"]["draintimeout"] == "30s"
    assert shown["http"]["net"] == "tcp"
    assert shown["health"]["storagedriver"] == {"enabled": False, "interval": "10s", "threshold": 1}
    assert shown["health"]["file"] == [{"file": "/a", "interval": "10s", "threshold": 1}]
    assert [each["timeout"] for each in shown["health"]["http"]] == ["10s", "3s"]
    assert (shown["catalog"]["maxentries"], shown["tags"]["maxtags"]) == (1000, 1000)
    loaded = load(path, {})[0]
    assert shown["pyregistry"]["workers"] == worker_count(loaded) > 0
    printed = parse(done.stdout, {})[0]
    assert api_settings(printed) == api_settings(loaded)
    times = [
        [(each.kind, each.interval, each.timeout, each.threshold) for each in checks(config, lambda: None)]
        for config in (printed, loaded)
    ]
    assert times[0] == times[1]
    assert effective_config(printed) == printed


def test_values_of_tls_are_those_that_a_server_uses(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server")
    path = tmp_path / "config.yml"
    tls = f"{{certificate: {tmp_path}/server.pem, key: {tmp_path}/server.key, clientcas: [{tmp_path}/ca.pem]}}"
    path.write_text(f"version: 0.1\nstorage: inmemory\nhttp: {{tls: {tls}}}\n")
    shown = yaml.safe_load(check(str(path)).stdout)
    assert shown["http"]["tls"]["minimumtls"] == "tls1.2"
    assert shown["http"]["tls"]["clientauth"] == "require-and-verify-client-cert"
    assert shown["pyregistry"]["workers"] == 1


LEAST_HERE = "version: 0.1\nstorage: {filesystem: {rootdirectory: DIRECTORY/data}}\n"
STRICT = {
    "nothing to warn of": (LEAST_HERE, 0),
    "an unknown key": (f"{LEAST_HERE}xyzzy: 1\n", 1),
    "a key that is not carried out": (f"{LEAST_HERE}redis: {{}}\nlog: {{reportcaller: true}}\n", 1),
    "a user who is left out": (f"{LEAST_HERE}auth: {{htpasswd: {{realm: r, path: DIRECTORY/users}}}}\n", 1),
    "a user who is left out of a log of errors": (
        f"{LEAST_HERE}log: {{level: error}}\nauth: {{htpasswd: {{realm: r, path: DIRECTORY/users}}}}\n",
        1,
    ),
    "a fault": (f"{LEAST_HERE}xyzzy: 1\nhttp: {{addr: 5}}\n", 2),
}


@pytest.mark.parametrize(("text", "status"), STRICT.values(), ids=STRICT)
def test_strict_ends_with_1_for_warnings(tmp_path: Path, text: str, status: int) -> None:
    users = tmp_path / "users"
    write_htpasswd(users, {"alice": "wonderland"})
    users.write_text(users.read_text() + "mallory:plain\n")
    users.chmod(0o600)
    path = tmp_path / "config.yml"
    path.write_text(text.replace("DIRECTORY", str(tmp_path)))
    done = check("--strict", str(path))
    assert done.returncode == status, done.stderr
    assert (done.stdout != "") == (status != 2)
    assert (done.stderr != "") == (status != 0)
    lenient = check(str(path))
    assert (lenient.returncode, lenient.stdout, len(lenient.stderr.splitlines())) == (
        status if status == 2 else 0,
        done.stdout,
        len(done.stderr.splitlines()),
    )


def test_strict_is_not_about_variables_that_kubernetes_sets(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(LEAST_HERE.replace("DIRECTORY", str(tmp_path)))
    of_service = {"REGISTRY_PORT": "tcp://10.0.0.1:5000", "REGISTRY_SERVICE_HOST": "10.0.0.1"}
    done = check("--strict", str(path), **of_service)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 2)
    assert check("--strict", str(path), **of_service, REGISTRY_XYZZY="1").returncode == 1


def test_all_faults_are_said_at_once_each_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(f"{LEAST}http: {{addr: 5}}\nlog: {{level: loud}}\nauthh: {{}}\npyregistry: {{acces: []}}\n")
    done = check(str(path))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"pyregistry: {path}: ") for line in lines)
    assert [line.split(": ")[2] for line in lines] == ["authh", "pyregistry.acces", "log.level", "http.addr"]
    assert command("serve", str(path)).stderr == done.stderr


def test_all_faults_of_what_a_config_names_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    (tmp_path / "data").write_text("no directory")
    path.write_text(f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}
http: {{addr: nowhere, debug: {{addr: "x:y"}}, tls: {{certificate: /none/c, key: /none/k}}}}
auth: {{htpasswd: {{realm: r, path: /none/users}}}}
health: {{tcp: [{{addr: x}}]}}
validation: {{manifests: {{urls: {{allow: ["[", "("]}}}}}}
pyregistry: {{access: /none/rules}}
""")
    lines = check(str(path), REGISTRY_HTTP_HOST="https://a.test").stderr.splitlines()
    named = [line.removeprefix(f"pyregistry: {path}: ").split(": ")[0] for line in lines]
    assert named[:-1] == [
        "http.addr",
        "http.debug.addr",
        "http.tls.certificate",
        "auth.htpasswd.path",
        "pyregistry.access",
        "validation.manifests.urls.allow",
        "validation.manifests.urls.allow",
        "health.tcp[0].addr",
    ]
    assert lines[-1].startswith("pyregistry: cannot use the data directory: ")


def test_a_file_of_rules_about_users_needs_auth(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("[{repositories: '**', who: [everyone, 'group:a'], actions: pull}]")
    path = tmp_path / "config.yml"
    path.write_text(f"{LEAST}auth: none\npyregistry: {{access: {rules}}}\n")
    rules.write_text("[{repositories: '**', who: [everyone, alice], actions: pull}]")
    done = check(str(path))
    assert done.returncode == 2
    assert f'pyregistry.access: {rules}: [0].who: "alice", expected anonymous or everyone' in done.stderr


@pytest.mark.parametrize(("formatter", "key"), [("json", "event"), ("logstash", "message")])
@pytest.mark.parametrize("words", [["gc", "--quiet"], ["du"], ["serve"]], ids=lambda words: words[0])
def test_warnings_and_refusals_are_json_where_the_log_is(
    tmp_path: Path, formatter: str, key: str, words: list[str]
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "config.yml"
    text = f"{LEAST_HERE}xyzzy: 1\nlog: {{formatter: {formatter}, level: error, fields: {{service: r}}}}\n"
    refused = "auth: {htpasswd: {realm: r, path: /none}}\n" if words == ["serve"] else ""
    path.write_text(text.replace("DIRECTORY", str(tmp_path)) + refused)
    done = command(*words, str(path))
    assert done.returncode == (2 if refused else 0)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == (["warning", "error"] if refused else ["warning"])
    assert lines[0][key] == "xyzzy: ignored, there is no such key"
    assert all(line["service"] == "r" for line in lines)
    path.write_text(text + "authh: {}\n")
    done = command(*words, str(path))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert json.loads(line)[key] == f"{path}: authh: there is no such key; did you mean auth?"
