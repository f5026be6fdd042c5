"""The command line under the name `registry`, compared with that of the CNCF registry."""

import os
import shlex
from pathlib import Path

import pytest

from pyregistry.cli.registry import without_values
from tests.cli.commands import CNCF, Done, cncf, config_file, ours, run
from tests.processes import forked_server, require

USAGE = "Usage:"
# Arguments, status, what is on standard output and on standard error; an empty word says that nothing is.
ALIKE: dict[str, tuple[list[str], int, str, str]] = {
    "nothing": ([], 0, "", USAGE),
    "help": (["help"], 0, USAGE, ""),
    "-h": (["-h"], 0, USAGE, ""),
    "--help": (["--help"], 0, USAGE, ""),
    "help of a command": (["help", "serve"], 0, "registry serve", ""),
    "a command's -h": (["serve", "-h"], 0, "registry serve", ""),
    "a command's --help": (["serve", "--help"], 0, "registry serve", ""),
    "no such file": (["serve", "/nowhere.yml"], 1, "", "configuration error: "),
    "no such file, and its usage": (["serve", "/nowhere.yml"], 1, "", "registry serve"),
    "a file after --": (["serve", "--", "/nowhere.yml"], 1, "", "configuration error: "),
    "a word that is no command": (["serve", "help"], 1, "", "configuration error: "),
}


@pytest.mark.parametrize("program", ["ours", *CNCF])
@pytest.mark.parametrize(("arguments", "status", "output", "errors"), ALIKE.values(), ids=ALIKE.keys())
def test_status_and_streams_are_those_of_the_cncf_registry(
    program: str, arguments: list[str], status: int, output: str, errors: str
) -> None:
    done = run(ours("registry") if program == "ours" else cncf(program), *arguments)
    assert done.returncode == status
    assert (output in done.stdout) if output else not done.stdout
    assert (errors in done.stderr) if errors else not done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["-v", "--version"])
@pytest.mark.parametrize("program", ["ours", *CNCF])
def test_version_is_three_words_of_which_the_last_has_the_number(program: str, flag: str) -> None:
    done = run(ours("registry") if program == "ours" else cncf(program), flag)
    assert (done.returncode, done.stderr) == (0, "")
    name, package, version = done.stdout.split()
    assert Path(name).name == {"ours": "registry", "2.8": "docker-registry", "3.1": "cncf-registry"}[program]
    assert "registry" in package or "distribution" in package
    assert version.lstrip("v")[0].isdigit()


# The CNCF registry ends with 0 here, as if all were well.
MISSPELT = {
    "a command": ["serv", "config.yml"],
    "a command in capitals": ["SERVE", "config.yml"],
    "a flag": ["serve", "--nothing", "config.yml"],
    "a flag before the command": ["--nothing", "serve"],
    "a flag of another command": ["serve", "--dry-run", "config.yml"],
    "a topic of the help": ["help", "nothing"],
}


@pytest.mark.parametrize("arguments", MISSPELT.values(), ids=MISSPELT.keys())
def test_what_is_misspelt_is_said_on_standard_error_and_ends_with_2(arguments: list[str]) -> None:
    done = run(ours("registry"), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert USAGE in done.stderr
    assert "Error: " in done.stderr


REFUSED = {
    "not YAML": ("{", "not YAML"),
    "another service": ("version: 0.1\nstorage: {inmemory: {}}\nproxy: {remoteurl: 'https://x'}\n", "proxy"),
    "two drivers": ("version: 0.1\nstorage: {inmemory: {}, filesystem: {}}\n", "exactly one driver"),
    "an address": ("version: 0.1\nstorage: inmemory\nhttp: {addr: nothing}\n", "http.addr"),
    "no htpasswd file": (
        "version: 0.1\nstorage: inmemory\nauth: {htpasswd: {realm: r, path: /nowhere}}\n",
        "auth.htpasswd.path: /nowhere",
    ),
    "no certificate": (
        "version: 0.1\nstorage: inmemory\nhttp: {tls: {certificate: /nowhere, key: /nowhere}}\n",
        "http.tls.certificate: /nowhere",
    ),
}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_config_that_is_refused_ends_registry_with_1_and_pyregistry_with_2(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    by_name: dict[str, Done] = {name: run(ours(name), "serve", path) for name in ("registry", "pyregistry")}
    assert {name: done.returncode for name, done in by_name.items()} == {"registry": 1, "pyregistry": 2}
    assert by_name["registry"].stderr.startswith(f"configuration error: {path}: ")
    assert by_name["pyregistry"].stderr.startswith(f"pyregistry: {path}: ")
    for done in by_name.values():
        assert named in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("name", "status"), [("registry", 1), ("pyregistry", 2)], ids=["registry", "pyregistry"])
def test_data_directory_that_cannot_be_made_is_named_with_those_who_could(
    tmp_path: Path, name: str, status: int
) -> None:
    (tmp_path / "data").write_text("a file in the way")
    done = run(ours(name), "serve", config_file(tmp_path))
    assert done.returncode == status
    assert f"cannot use the data directory: {tmp_path}/data: File exists" in done.stderr
    assert f"this is user {os.geteuid()}:{os.getegid()}; {tmp_path}/data belongs to {os.geteuid()}:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("by_environment", [False, True], ids=["argument", "REGISTRY_CONFIGURATION_PATH"])
def test_serve_takes_its_config_from(tmp_path: Path, by_environment: bool) -> None:
    server = forked_server(tmp_path)
    server.command = [*ours("registry"), "serve", *([] if by_environment else [str(server.config)])]
    server.env["REGISTRY_CONFIGURATION_PATH"] = str(server.config) if by_environment else "/nowhere.yml"
    with server:
        assert server.stop() == 0


# Go's flags take a value, and scripts give them one.
VALUES = {
    "--dry-run": "--dry-run",
    "--dry-run=true": "--dry-run",
    "--delete-untagged=1": "--delete-untagged",
    "-m=T": "-m",
    "-q=TRUE": "-q",
    "--dry-run=false": "",
    "-d=0": "",
    "--quiet=False": "",
    "--dry-run=perhaps": "--dry-run=perhaps",
    "--other=true": "--other=true",
    "config=true.yml": "config=true.yml",
    "x -d=true -- --dry-run=true": "x -d -- --dry-run=true",
}


@pytest.mark.parametrize(("given", "left"), VALUES.items(), ids=VALUES.keys())
def test_flag_with_a_value(given: str, left: str) -> None:
    assert list(without_values(given.split())) == left.split()


def test_usage_does_not_depend_on_a_terminal(tmp_path: Path) -> None:
    # A script that was given a terminal (`docker exec -t`) gets the same plain text.
    typescript = [require("script", "bsdutils"), "--quiet", "--return", "--command"]
    shown = run(typescript, shlex.join([*ours("registry"), "help"]), tmp_path / "typescript", COLUMNS="80")
    assert shown.stdout.replace("\r\n", "\n") == run(ours("registry"), "help").stdout
