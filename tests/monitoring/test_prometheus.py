"""A real Prometheus takes the samples as they are, scrapes a registry and evaluates every rule."""

import json
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.monitoring.test_samples import PROMETHEUS, rules
from tests.processes import Program, free_port, require, wait_until
from tests.workers.http import ask
from tests.workers.watching import watched_server


class Prometheus(Program):
    """With a config and data of its own, on 127.0.0.1."""

    def __init__(self, directory: Path, config: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            require("prometheus", "prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        super().__init__(command, directory / "prometheus.log")

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float | None:
        """Of the first series that it finds."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


def test_prometheus_scrapes_a_registry_and_evaluates_every_rule(tmp_path: Path) -> None:
    with watched_server(tmp_path, pyregistry={"workers": 2}) as watched:
        directory = tmp_path / "prometheus"
        shutil.copytree(PROMETHEUS, directory)
        config = directory / "prometheus.yml"
        sample = config.read_text()
        assert sample.count('["registry:5001"]') == 1
        quick = sample.replace('["registry:5001"]', f'["127.0.0.1:{watched.port}"]').replace(": 15s", ": 1s")
        config.write_text(quick)
        with Prometheus(directory, config) as prometheus:
            wait_until(lambda: prometheus.value('up{job="pyregistry"}') == 1, "it is scraped")
            assert prometheus.value('pyregistry_workers{job="pyregistry"}') == 2
            counted = 'registry_http_requests_total{handler="tags",code="404"}'
            for _ in range(7):
                assert ask(watched.server, "GET", "/v2/none/tags/list").status == 404
            wait_until(lambda: prometheus.value(counted) == 7, "the next scrape has the requests")
            wait_until(lambda: health(prometheus) == {"ok"}, "all rules were evaluated")
            assert len(evaluated(prometheus)) == len(rules())
            assert prometheus.value('ALERTS{alertstate="firing"}') is None


def evaluated(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]


def health(prometheus: Prometheus) -> set[str]:
    return {rule["health"] for rule in evaluated(prometheus)}
