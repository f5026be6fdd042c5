"""The dashboard and the alerts ask for nothing that a service does not show, and Prometheus takes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.alerts import CASES, unit_test
from tests.monitoring.conftest import Page, series_in
from tests.processes import SOURCE_TREE, require

PROMETHEUS = SOURCE_TREE / "config/prometheus"
ALERTS = PROMETHEUS / "alerts.yml"
DASHBOARD = SOURCE_TREE / "config/grafana/pyregistry.json"
_SELECTOR = re.compile(r"\b((?:pyregistry|registry|process)_[a-z0-9_]+)\{([^}]*)\}")
_OF_THE_SCRAPE = {"job", "instance"}
_VARIABLES = {"$__rate_interval": "5m", "$job": "pyregistry", "$instance": ".*"}


def promtool(*words: str | Path, stdin: str | None = None) -> str:
    """Run it; return its output."""
    program = require("promtool", "prometheus")
    done = subprocess.run([program, *words], check=False, capture_output=True, text=True, input=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return shown


def expressions() -> Iterator[tuple[str, str]]:
    """Yield the place of each, and its text."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_asks_for_what_a_service_shows(expression: str, page: Page) -> None:
    shown = page.series
    names = series_in(expression)
    assert names or "up{" in expression
    assert names <= set(shown)
    for name, selector in _SELECTOR.findall(expression):
        labels = set(re.findall(r"(\w+)=", selector))
        assert labels - _OF_THE_SCRAPE <= shown[name], name


def test_labels_in_legends_and_sentences_are_there() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                kept = re.search(r"by \(([^)]*)\)", target["expr"])
                assert kept is None or label in kept[1].split(", "), (panel["title"], label)


def test_prometheus_takes_the_sample_and_its_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_prometheus_takes_the_other_way_to_scrape_which_is_commented_out(tmp_path: Path) -> None:
    text = (PROMETHEUS / "prometheus.yml").read_text()
    before, other = text.split("  # Or the registry's own address")
    lines = [line.replace("  # ", "  ", 1) for line in other.splitlines()[1:]]
    config = before.split("  # The debug address")[0] + "\n".join(lines) + "\n"
    password = "/etc/prometheus/registry-password"
    assert config.count(password) == 1
    (tmp_path / "password").write_text("secret")
    shutil.copy(ALERTS, tmp_path)
    path = tmp_path / "prometheus.yml"
    path.write_text(config.replace(password, str(tmp_path / "password")))
    assert [job["basic_auth"]["username"] for job in yaml.safe_load(config)["scrape_configs"]] == ["prometheus"]
    assert "SUCCESS" in promtool("check", "config", path)


def test_prometheus_takes_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    found = []
    for number, expression in enumerate(EXPRESSIONS.values()):
        for variable, value in _VARIABLES.items():
            expression = expression.replace(variable, value)  # noqa: PLW2901 - the same with another variable
        found.append({"record": f"test:expression:{number}", "expr": expression})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": found}]}))
    assert f"{len(found)} rules found" in promtool("check", "rules", path)


def test_the_panels_of_the_dashboard_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_prometheus_can_read_a_scrape(page: Page) -> None:
    program = require("promtool", "prometheus")
    done = subprocess.run([program, "check", "metrics"], check=False, capture_output=True, text=True, input=page.text)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    assert {rule["alert"] for rule in rules()} == set(CASES)
    shutil.copy(ALERTS, tmp_path)
    tests = [
        unit_test(alert, case, fires=fires)
        for alert, both in CASES.items()
        for case, fires in zip(both, (True, False), strict=True)
    ]
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", path)
