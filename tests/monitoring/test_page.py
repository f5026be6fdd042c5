"""docs/monitoring.md names every metric, alert and member of a line, and its samples work."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from pyregistry.api.routes import ENDPOINTS
from tests.monitoring.conftest import Page
from tests.monitoring.test_samples import rules
from tests.processes import SOURCE_TREE, pyregistry_server, require, wait_until
from tests.workers.http import ask

PAGE = SOURCE_TREE / "docs/monitoring.md"
_HEAD = "| name | labels | kind | |\n|---|---|---|---|\n"


def part(name: str) -> str:
    """Return the text between the marks of that name."""
    return PAGE.read_text().split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0]


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in part(name).splitlines()[2:]]


def table_of(page: Page) -> str:
    """The table of metrics: those of the CNCF registry first."""
    texts = dict(line.split(" ", 3)[2:] for line in page.text.splitlines() if line.startswith("# HELP "))
    labels = page.series
    families = sorted(page.families.items(), key=lambda item: (item[0].startswith("pyregistry_"), item[0]))
    found = _HEAD
    for name, kind in families:
        first = next(series for series in (name, f"{name}_bucket") if series in labels)
        shown = ", ".join(f"`{label}`" for label in sorted(labels[first] - {"le"}))
        found += f"| `{name}` | {shown} | {kind} | {texts[name]} |\n"
    return found


def test_the_table_of_metrics_is_that_of_a_scrape(page: Page) -> None:
    """PYREGISTRY_WRITE_DOCS=1 writes it."""
    written = table_of(page)
    if os.environ.get("PYREGISTRY_WRITE_DOCS") == "1":
        before, rest = PAGE.read_text().split("<!-- metrics -->\n")
        _, after = rest.split("<!-- /metrics -->")
        PAGE.write_text(f"{before}<!-- metrics -->\n{written}<!-- /metrics -->{after}")
        return
    assert part("metrics") == written


def test_the_page_names_every_route() -> None:
    names = {endpoint.name for endpoint in ENDPOINTS if not endpoint.watches}
    described = PAGE.read_text().split("`handler` is `base`")[1].split("\n\n")[0]
    assert names | {"other"} == {"base", *re.findall(r"`([a-z_]+)`", described)}


def test_the_table_of_alerts_has_all_of_them_with_their_severity() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows("alerts")}
    assert listed == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def test_the_alerts_and_the_dashboard_name_the_job_of_the_sample() -> None:
    for rule in rules():
        named = re.findall(r"\b(?:pyregistry|registry|process)_\w+\{|\bup\{", rule["expr"])
        assert len(named) == rule["expr"].count('job="pyregistry"'), rule["alert"]


def test_a_line_of_json_has_the_members_of_the_table(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, log={"formatter": "json"}) as server:
        ask(server, "GET", "/v2/app/tags/list?n=5")
        wait_until(lambda: "tags/list" in server.output(), "the line is written")
        [line] = [json.loads(each) for each in server.output().splitlines() if "tags/list" in each]
    assert list(line) == [row[0].strip("`") for row in rows("access")]


def test_a_log_that_logrotate_cuts_goes_on_at_its_beginning(tmp_path: Path) -> None:
    program = require("logrotate", "logrotate")
    with pyregistry_server(tmp_path) as server:
        assert ask(server, "GET", "/v2/before/tags/list").status == 404
        wait_until(lambda: "/v2/before/" in server.output(), "the line is written")
        sample = part("logrotate").strip("`\n").replace("/var/log/pyregistry/*.log", str(server.log))
        config = tmp_path / "logrotate.conf"
        config.write_text(sample)
        config.chmod(0o644)
        state = tmp_path / "state"
        subprocess.run([program, "--force", "--state", state, config], check=True, capture_output=True)
        assert ask(server, "GET", "/v2/after/tags/list").status == 404
        wait_until(lambda: "/v2/after/" in server.output(), "the line is written")
        written = server.log.read_bytes()
        assert b"/v2/before/" not in written
        assert b"\0" not in written, "the file has a hole where it was cut"
        assert b"/v2/before/" in server.log.with_name(f"{server.log.name}.1").read_bytes()


def test_events_of_the_table_are_in_the_code() -> None:
    text = PAGE.read_text().split("| event | |\n|---|---|\n")[1].split("\n\n")[0]
    events = [event for line in text.splitlines() for event in re.findall(r"`([^`]+)`", line) if " " in event]
    code = "".join(path.read_text() for path in (SOURCE_TREE / "pyregistry").rglob("*.py"))
    assert len(events) > 8
    assert [event for event in events if f'"{event}' not in code] == []


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text()))
def test_links_lead_somewhere(target: str) -> None:
    assert (PAGE.parent / target).exists()
