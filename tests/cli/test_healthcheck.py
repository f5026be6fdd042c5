"""`pyregistry healthcheck`: it asks where the config says that the server listens."""

from pathlib import Path
from typing import Any

import pytest

from tests.auth.credentials import auth_section, write_htpasswd
from tests.authority import Authority
from tests.cli.commands import Done, ours, run
from tests.processes import Program, Server, forked_server, wait_until


class Quiet(Server):
    """A server that is asked nothing until the health check does."""

    forks = True

    def answers(self) -> bool:
        return "listening" in self.output()


def server(directory: Path, **extra: Any) -> Quiet:
    directory.mkdir(exist_ok=True)
    made = forked_server(directory, **extra)
    return Quiet(made.command, made.directory, made.port, made.config)


def check(config: Path) -> Done:
    return run(ours("pyregistry"), "healthcheck", config)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA."""
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture
def sections(tmp_path: Path, authority: Authority) -> dict[str, dict[str, Any]]:
    """Configs by what is special about them."""
    certificate, key = map(str, authority.issue("server"))
    tls = {"certificate": certificate, "key": key}
    required = {**tls, "clientcas": [str(authority.certificate)]}
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    return {
        "plain": {},
        "a prefix": {"http": {"prefix": "/below/"}},
        "a password": {"auth": auth_section(tmp_path / "htpasswd")},
        "a unix socket": {"http": {"net": "unix", "addr": str(tmp_path / "sock")}},
        "TLS": {"http": {"tls": tls}},
        "client certificates": {"http": {"tls": required}},
        "client certificates if given": {"http": {"tls": {**required, "clientauth": "verify-client-cert-if-given"}}},
    }


WITH = (
    *("plain", "a prefix", "a password", "a unix socket", "TLS"),
    *("client certificates", "client certificates if given"),
)


@pytest.mark.parametrize("name", WITH)
def test_healthy_while_the_server_runs_and_not_before_or_after(
    tmp_path: Path, sections: dict[str, dict[str, Any]], name: str
) -> None:
    running = server(tmp_path, **sections[name])
    assert check(running.config).returncode == 1
    with running:
        done = check(running.config)
        assert (done.returncode, done.stderr) == (0, "")
    done = check(running.config)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_server_on_all_addresses_is_asked_on_the_loopback(tmp_path: Path) -> None:
    running = server(tmp_path)
    running.config.write_text(running.config.read_text().replace("127.0.0.1:", ":"))
    with running:
        assert check(running.config).returncode == 0


def test_another_service_on_that_port_is_not_healthy(tmp_path: Path) -> None:
    made = server(tmp_path)
    other = Program(["python3", "-m", "http.server", "--bind", "127.0.0.1", str(made.port)], tmp_path / "other.log")
    with other:
        wait_until(lambda: "answers with 404" in check(made.config).stderr, "it says what it got")
        assert check(made.config).returncode == 1


def test_another_service_is_not_healthy_where_a_client_certificate_is_wanted(
    tmp_path: Path, sections: dict[str, dict[str, Any]]
) -> None:
    made = server(tmp_path, **sections["client certificates"])
    with server(tmp_path / "other", port=made.port):
        assert check(made.config).returncode == 1


def test_config_that_is_refused_is_not_healthy(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("{")
    assert check(path).returncode == 1


@pytest.mark.parametrize("formatter", ["text", "json"])
def test_each_fault_of_a_config_is_a_line_and_there_is_no_other(tmp_path: Path, formatter: str) -> None:
    (tmp_path / "c.yml").write_text(
        f"version: 0.1\nstorage: inmemory\nlog: {{formatter: {formatter}}}\nhttp: {{addr: 5}}\nauthh: {{}}\n"
    )
    done = check(tmp_path / "c.yml")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2, lines
    assert "authh" in lines[0]
    assert "http.addr" in lines[1]
    assert all(line.startswith("{") == (formatter == "json") for line in lines)
