"""Configs with which the CNCF registry starts and we do not, as docs/stricter-than-cncf.md has them."""

import re
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.comparison.page import rows_of
from tests.processes import SOURCE_TREE, Program, cncf3_program, free_port

_CELLS = re.compile(r"^\| (.+) \| (starts|refuses) \| (starts|refuses) \| (.+) \|$")
_STARTS = ("starts", "refuses")


@dataclass(frozen=True)
class Lines:
    """The part that is added to a working config."""

    http: str = ""
    storage: str = ""
    end: str = ""
    environ: dict[str, str] = field(default_factory=dict)


CONFIGS = {
    "`http.draintimeout: 60`": Lines(http="  draintimeout: 60"),
    "`http.prefix: registry`": Lines(http="  prefix: registry"),
    '`storage.delete.enabled: "true"`': Lines(storage='  delete: {enabled: "true"}'),
    "`REGISTRY_STORAGE_DELETE_ENABLED=1`": Lines(environ={"REGISTRY_STORAGE_DELETE_ENABLED": "1"}),
    "a key twice": Lines(end="http: {relativeurls: true}"),
    "a second document behind `---`": Lines(end="---\nlog: {level: debug}"),
    "`authh: {htpasswd: …}`": Lines(end="authh: {htpasswd: {realm: r, path: DIRECTORY/users}}"),
    "`REGISTRY_AUTHH_HTPASSWD_REALM=r`": Lines(environ={"REGISTRY_AUTHH_HTPASSWD_REALM": "r"}),
    "`http: {auth: {htpasswd: …}}`": Lines(http="  auth: {htpasswd: {realm: r, path: DIRECTORY/users}}"),
    "`auth.htpasswd.realmm`": Lines(end="auth: {htpasswd: {realmm: r, realm: r, path: DIRECTORY/users}}"),
    "`http.tls.clientca`": Lines(http="  tls: {clientca: [DIRECTORY/ca.pem]}"),
    "`http.headers: {X: [null]}`": Lines(http="  headers: {X: [null]}"),
    "`auth.htpasswd.path` of a file that is missing": Lines(end="auth: {htpasswd: {realm: r, path: DIRECTORY/users}}"),
}


class _Listening(Program):
    """A registry that is ready when its port is open, whatever it answers."""

    forks = True
    port = 0

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _try(command: list[str], lines: Lines, directory: Path) -> str:
    """Return `starts` or `refuses`."""
    directory.mkdir()
    config, port = directory / "config.yml", free_port()
    storage = f"storage:\n  filesystem: {{rootdirectory: {directory}}}\n{lines.storage}"
    text = f"version: 0.1\n{storage}\nhttp:\n  addr: 127.0.0.1:{port}\n{lines.http}\n{lines.end}\n"
    config.write_text(text.replace("DIRECTORY", str(directory)))
    environ = {"PYTHONPATH": str(SOURCE_TREE), "OTEL_TRACES_EXPORTER": "none", **lines.environ}
    program = _Listening([*command, "serve", str(config)], directory / "log", environ)
    program.port = port
    with ExitStack() as stack:
        try:
            stack.enter_context(program)
        except AssertionError as error:
            if "it ended with status" in str(error):
                return "refuses"
            raise
        return "starts"


def test_every_config_of_the_page_is_tried_and_every_one_that_is_tried_is_in_the_page() -> None:
    found = [_CELLS.match(row) for row in rows_of("Config")]
    assert [cells and cells[1] for cells in found] == list(CONFIGS)
    assert {cells and cells.group(2, 3) for cells in found} == {_STARTS}


@pytest.mark.parametrize("lines", CONFIGS.values(), ids=CONFIGS)
def test_the_cncf_registry_starts_with_a_config_and_we_refuse_it(lines: Lines, tmp_path: Path) -> None:
    commands = {"cncf": [cncf3_program()], "ours": [sys.executable, "-m", "pyregistry"]}
    tried = {name: _try(command, lines, tmp_path / name) for name, command in commands.items()}
    assert tuple(tried.values()) == _STARTS


ALIKE = {
    "nothing more": Lines(),
    "an empty document behind it": Lines(end="---"),
    "a comment behind it": Lines(end="---\n# the end"),
    "a key that is not known": Lines(end="x-auth: &a {}\nxyzzy: 1"),
    "a variable of another program": Lines(environ={"REGISTRY_PASSWORD": "@[", "REGISTRY_TOKEN": "a"}),
}


@pytest.mark.parametrize("lines", ALIKE.values(), ids=ALIKE)
def test_a_config_starts_with_both(tmp_path: Path, lines: Lines) -> None:
    for name, command in {"cncf": [cncf3_program()], "ours": [sys.executable, "-m", "pyregistry"]}.items():
        assert _try(command, lines, tmp_path / name) == "starts"
