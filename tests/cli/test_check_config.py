"""`pyregistry check-config`, as a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyregistry.config.load import load, parse

LEAST = "version: 0.1\nstorage: {filesystem: {}}\n"
FULL = """
version: 0.1
storage: {filesystem: {rootdirectory: /data}, delete: {enabled: true}, maintenance: {uploadpurging: {age: 1h30m}}}
auth: {htpasswd: {realm: r, path: /p}}
http: {addr: ":80", draintimeout: 1500ms, tls: {certificate: /c, key: /k, clientcas: [/ca]}, headers: {X: [y]}}
validation: {manifests: {indexes: {platforms: list, platformlist: [{os: linux, architecture: arm64}]}}}
pyregistry: {workers: 3, limits: {blob-size: 5}}
"""


def check(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pyregistry", "check-config", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})


@pytest.mark.parametrize("text", [LEAST, FULL, "version: 0.1\nstorage: inmemory\n"], ids=["least", "full", "inmemory"])
def test_what_it_prints_is_a_config_that_means_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
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


def test_what_a_health_check_sends_is_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    uri = "https://user:secret-word@example.org/v2/?token=secret-word"
    path.write_text(f"{LEAST}health: {{http: [{{uri: '{uri}', headers: {{Authorization: [Basic secret-word]}}}}]}}\n")
    printed = check(str(path)).stdout
    assert "secret-word" not in printed
    assert "https://***@example.org/v2/?***" in printed
    assert "Authorization" in printed
