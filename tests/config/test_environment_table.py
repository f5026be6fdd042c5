"""The table of environment_table.py, asked of pyregistry and of the CNCF registry 3.1.1."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestServer

from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from pyregistry.service.app import create_app
from pyregistry.service.sockets import listen
from pyregistry.service.tls import Certificate
from tests.auth.credentials import write_htpasswd
from tests.config.asking import Asked
from tests.config.environment_table import REFUSED, ROWS, SAME, Row
from tests.processes import Program, cncf3_program, free_port, merged

EACH = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def prepared(row: Row, port: int, directory: Path) -> tuple[str, dict[str, str]]:
    """The file and the environment of a row, on this port and in this directory."""
    write_htpasswd(directory / "htpasswd", {"alice": "wonderland"})
    base: Mapping[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": "{directory}/data"}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:{port}"},
    }
    text = yaml.safe_dump(merged(base, row.file))
    return _filled(text, port, directory), {
        name: _filled(value, port, directory) for name, value in row.environment.items()
    }


def _filled(text: str, port: int, directory: Path) -> str:
    return text.replace("{directory}", str(directory)).replace("{port}", str(port))


@EACH
async def test_row_at_pyregistry(tmp_path: Path, row: Row) -> None:
    text, environment = prepared(row, free_port(), tmp_path)
    try:
        config, _ = parse(text, environment)
        app = await asyncio.to_thread(create_app, config)
        listen("http.addr", config.http.addr, config.http.net).close()
        if config.http.tls.certificate:
            Certificate(config.http.tls)
    except ConfigError:
        assert row.answer == REFUSED
        return
    async with TestServer(app) as server:
        assert server.port is not None
        assert await asyncio.to_thread(row.question, Asked(server.port, tmp_path)) == row.answer


class Cncf3(Program):
    """The CNCF registry 3.1.1 with an environment of its own."""

    def __init__(self, directory: Path, row: Row) -> None:
        self.asked = Asked(free_port(), directory)
        text, environment = prepared(row, self.asked.port, directory)
        config = directory / "cncf3.yml"
        config.write_text(text)
        super().__init__([cncf3_program(), "serve", str(config)], config.with_suffix(".log"))
        self.env = {"OTEL_TRACES_EXPORTER": "none", **environment}

    def answers(self) -> bool:
        try:
            self.asked.ask("GET", "/")
        except OSError:
            return False
        return True


@EACH
def test_row_at_the_cncf_registry(tmp_path: Path, row: Row) -> None:
    registry = Cncf3(tmp_path, row)
    assert answer_of(registry, row) == (row.answer if row.theirs == SAME else row.theirs), registry.output()


def answer_of(registry: Cncf3, row: Row) -> object:
    """Return the resulting value, or the fact that it does not start."""
    try:
        registry.start()
    except AssertionError as error:
        if "it ended with status" in str(error):
            return REFUSED
        raise
    try:
        return row.question(registry.asked)
    finally:
        registry.stop()


def test_every_difference_has_its_reason_and_nothing_else_has_one() -> None:
    assert all((row.theirs == SAME) == (not row.why) for row in ROWS.values())
