"""A fault of the config is one line that names the key, with status 2."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE, free_port

_GOOD = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {directory}/data
http:
  addr: 127.0.0.1:{port}
"""


def _serve(directory: Path, text: str, port: int) -> subprocess.CompletedProcess[str]:
    path = directory / "config.yml"
    path.write_text(text.format(directory=directory, port=port))
    command = [sys.executable, "-m", "pyregistry", "serve", str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env={"PYTHONPATH": str(SOURCE_TREE)}
    )


def _assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    output = result.stdout + result.stderr
    assert result.returncode == 2, output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 1, output
    for word in words:
        assert word in output


def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        _assert_refused(_serve(tmp_path, _GOOD, port), "http.addr", f"127.0.0.1:{port}", "in use")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param(_GOOD.replace("version: 0.1", "version: 0.2"), ["version", "0.2"], id="another version"),
        pytest.param("version: 0.1\n", ["storage"], id="no storage"),
        pytest.param(_GOOD.replace("filesystem", "swift"), ["storage.swift"], id="another driver"),
        pytest.param(_GOOD.replace("{port}", "port"), ["http.addr"], id="a port that is no number"),
        pytest.param(
            _GOOD.replace("127.0.0.1:{port}", "192.0.2.1:80"), ["http.addr", "192.0.2.1"], id="not our address"
        ),
        pytest.param(_GOOD + "  prefix: [a]\n", ["prefix"], id="a list for a string"),
        pytest.param(_GOOD + "auth: {{silly: {{realm: r}}}}\n", ["auth", "silly"], id="another kind of auth"),
        pytest.param(
            _GOOD + "auth: {{htpasswd: {{realm: x, path: /none/htpasswd}}}}\n",
            ["auth.htpasswd.path", "/none/htpasswd"],
            id="no password file",
        ),
        pytest.param(_GOOD + "pyregistry: {{workers: many}}\n", ["pyregistry.workers"], id="a word for a number"),
        pytest.param(
            _GOOD + "  debug: {{addr: 127.0.0.1:port}}\n", ["http.debug.addr", "port"], id="a debug port that is none"
        ),
        pytest.param(
            _GOOD + "  debug: {{addr: '127.0.0.1:{port}'}}\n", ["http.debug.addr", "in use"], id="one port for both"
        ),
        pytest.param(
            _GOOD + "  debug: {{prometheus: {{path: metrics}}}}\n", ["http.debug.prometheus.path"], id="no path"
        ),
        pytest.param(_GOOD + "health: {{http: [{{uri: x}}]}}\n", ["health.http[0].uri"], id="a check of nothing"),
        pytest.param(
            _GOOD + "auth: none\npyregistry: {{access: [{{repositories: a, who: everyone, actions: pul}}]}}\n",
            ["pyregistry.access[0].actions", "pul"],
            id="a rule with an unknown action",
        ),
        pytest.param(
            _GOOD + "auth: none\npyregistry: {{access: /none/access.yml}}\n",
            ["pyregistry.access", "/none/access.yml", "No such file"],
            id="no file of rules",
        ),
        pytest.param(_GOOD + "pyregistry: {{access: }}\n", ["pyregistry.access", "no value"], id="no rules at all"),
        pytest.param(
            _GOOD + "auth: {{token: {{realm: r, service: s, issuer: i}}}}\n", ["auth.token"], id="no keys for tokens"
        ),
        pytest.param(
            _GOOD + "auth: {{token: {{realm: r, service: s, issuer: i, rootcertbundle: /none/certificate}}}}\n",
            ["auth.token.rootcertbundle", "/none/certificate", "No such file"],
            id="no certificate for tokens",
        ),
        pytest.param(
            _GOOD + "auth: {{token: {{realm: r, service: s, issuer: i, signingalgorithms: [none]}}}}\n",
            ["auth.token.signingalgorithms", "none"],
            id="an algorithm that there is not",
        ),
        pytest.param(_GOOD + "proxy: {{remoteurl: https://x.test}}\n", ["proxy"], id="a proxy"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line_that_names_the_key(tmp_path: Path, wrong: str, words: list[str]) -> None:
    _assert_refused(_serve(tmp_path, wrong, free_port()), *words)


def test_a_config_that_is_no_yaml_is_refused_with_the_line_and_column(tmp_path: Path) -> None:
    result = _serve(tmp_path, "version: 0.1\nstorage: [", free_port())
    assert result.returncode == 2
    assert "config.yml" in result.stderr
    assert "line 2, column 11" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyregistry", "serve", str(tmp_path / "none.yml")]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env={"PYTHONPATH": str(SOURCE_TREE)}
    )
    _assert_refused(result, "none.yml")


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    _assert_refused(_serve(tmp_path, _GOOD, free_port()), "data directory", str(tmp_path / "data"))
