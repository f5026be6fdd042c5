"""Files that other programs read of the project itself: GitHub's, dependabot's and pre-commit's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.dependencies.constraints import supported_pythons
from tests.engine.client import Client
from tests.packages.building import git
from tests.processes import SOURCE_TREE
from tests.samples.test_samples import check_schema

WORKFLOWS = sorted((SOURCE_TREE / ".github/workflows").glob("*.yml"))
HOOKS = SOURCE_TREE / ".pre-commit-config.yaml"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_github_takes_the_workflows(path: Path) -> None:
    check_schema("vendor.github-workflows", path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_the_workflow_runs_each_python_that_is_promised_with_both_ends() -> None:
    jobs = yaml.safe_load((SOURCE_TREE / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["versions"]["strategy"]["matrix"] == {
        "python": supported_pythons(),
        "dependencies": ["floors", "newest"],
    }


def test_dependabot_takes_its_file() -> None:
    check_schema("vendor.dependabot", SOURCE_TREE / ".github/dependabot.yml")


def test_pre_commit_takes_the_hooks() -> None:
    pytest.importorskip("pre_commit")  # which only developers have
    Client(sys.executable, "-m", "pre_commit").run("validate-config", HOOKS)


@pytest.mark.parametrize(
    ("text", "hook"), [("x = {  'a':1 }\n", "ruff-format"), ("import os\n", "ruff-check")], ids=["format", "lint"]
)
def test_a_hook_stops_a_commit_that_make_check_would_refuse(text: str, hook: str, tmp_path: Path) -> None:
    """In a repository of its own, which has the programs of this environment."""
    pytest.importorskip("pre_commit")
    shutil.copy(HOOKS, tmp_path)
    shutil.copy(SOURCE_TREE / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "wrong.py").write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".pre-commit-config.yaml", "wrong.py")
    command = [sys.executable, "-m", "pre_commit", "run", hook]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Failed" in done.stdout
