"""A server that is watched at its debug address."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import Server, free_port, pyregistry_server, wait_until
from tests.workers.http import Answer
from tests.workers.workers import workers_of

WORKERS = 4


class Watched:
    """A server with a debug address."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port

    def ask(self, path: str, accept: str = "", method: str = "GET") -> Answer:
        """A request to the debug address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers={"Accept": accept})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def samples(self, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The samples of that name that have these labels."""
        answer = self.ask("/metrics")
        assert answer.status == 200
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        }

    def total(self, name: str, **labels: str) -> float:
        """Their sum."""
        return sum(self.samples(name, **labels).values())

    @property
    def directories(self) -> list[Path]:
        """The directories where the workers count."""
        return list(Path(self.server.env["TMPDIR"]).glob("pyregistry-metrics-*"))


@contextmanager
def watched_server(directory: Path, temporary: str = "", **sections: Any) -> Iterator[Watched]:
    """Four workers unless `sections` say otherwise; temporary files go to `directory`/tmp or `temporary`."""
    port = free_port()
    debug = {"addr": f"127.0.0.1:{port}", "prometheus": {"enabled": True}}
    more = {"pyregistry": {"workers": WORKERS}, **sections}
    server = pyregistry_server(directory, **{**more, "http": {"debug": debug, **sections.get("http", {})}})
    (directory / "tmp").mkdir(exist_ok=True)
    server.env["TMPDIR"] = temporary or str(directory / "tmp")
    with server:
        wait_until(lambda: len(workers_of(server)) == more["pyregistry"]["workers"], "all workers run")
        yield Watched(server, port)
