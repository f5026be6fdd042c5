"""The lines that a server writes, by stream."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Server, pyregistry_server

COMBINED = re.compile(
    r"(?P<host>\S+) (?P<id>\S+) (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/1\.[01]" (?P<status>\d{3}) (?P<bytes>\d+) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)
"""Combined Log Format, as the programs that read it do."""


class Logs:
    """Standard output and standard error of a server, kept apart."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.out, self.err = directory / "out.log", directory / "err.log"

    def lines(self) -> list[str]:
        return self.out.read_text(errors="strict").splitlines()

    def combined(self, request_id: str) -> dict[str, str]:
        """The line of the access log of this request."""
        found = [match for line in self.lines() if (match := COMBINED.fullmatch(line)) and match["id"] == request_id]
        assert len(found) == 1, (request_id, self.lines())
        return found[0].groupdict()

    def json(self, request_id: str) -> dict[str, Any]:
        """The same where the lines are JSON."""
        found = [entry for entry in map(json.loads, self.lines()) if entry["request_id"] == request_id]
        assert len(found) == 1, (request_id, self.lines())
        entry: dict[str, Any] = found[0]
        return entry


@contextmanager
def logging_server(directory: Path, **sections: Any) -> Iterator[Logs]:
    """A server whose two outputs go to two files."""
    server = pyregistry_server(directory, **sections)
    logs = Logs(server, directory)
    shell = ["/bin/sh", "-c", 'out=$1 err=$2; shift 2; exec "$@" >"$out" 2>"$err"', "sh"]
    server.command = [*shell, str(logs.out), str(logs.err), *server.command]
    with server:
        yield logs
