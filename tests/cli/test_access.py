"""`pyregistry access check`, as a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked
from tests.auth.rules import ACCESS
from tests.processes import SOURCE_TREE

HEAD = "version: 0.1\nstorage: {inmemory: {}}\nauth: {silly: {realm: r, service: s}}\n"
GROUPS = {"ops": ["admin", "root"]}
RULES = [{**ACCESS[0], "who": "group:ops"}, *ACCESS[1:]]


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pyregistry", *map(str, arguments)]
    return forked.run_text(command)


@pytest.fixture(params=["in the config", "in a file"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The rules, in both places."""
    own: dict[str, object] = {"access": RULES, "groups": GROUPS}
    if request.param == "in a file":
        (tmp_path / "access.yml").write_text(json.dumps(own))
        own = {"access": str(tmp_path / "access.yml")}
    path = tmp_path / "config.yml"
    path.write_text(HEAD + f"pyregistry: {json.dumps(own)}\n")
    return path


@pytest.mark.parametrize(
    ("question", "status", "answer"),
    [
        (("root", "delete", "any/thing"), 0, "yes: rule [0] group:ops on **: pull, push, delete\n"),
        (("ci", "push", "ci/app"), 0, "yes: rule [1] ci on ci/**: pull, push\n"),
        (("ci", "delete", "ci/app"), 1, "no: rule [1] ci on ci/**: pull, push\n"),
        (("bob", "pull", "public/app"), 0, "yes: rule [2] everyone on public/**: pull\n"),
        (("anonymous", "pull", "public/app"), 0, "yes: rule [2] everyone on public/**: pull\n"),
        (("anonymous", "push", "public/app"), 1, "no: rule [2] everyone on public/**: pull\n"),
        (("bob", "pull", "private"), 1, "no: no rule matches this user and repository\n"),
    ],
)
def test_it_says_yes_or_no_and_which_rule_decides(
    config: Path, question: tuple[str, ...], status: int, answer: str
) -> None:
    done = run("access", "check", *question, config)
    assert (done.returncode, done.stdout, done.stderr) == (status, answer, "")


def test_the_rules_of_the_page_are_what_it_says_of_them(tmp_path: Path) -> None:
    text = (SOURCE_TREE / "docs/users-and-access.md").read_text().partition("## Access")[2]
    config = tmp_path / "config.yml"
    config.write_text(HEAD.partition("auth:")[0] + text.partition("```yaml\n")[2].partition("```")[0])
    [command] = [line for line in text.splitlines() if line.startswith("pyregistry access check ")]
    question, _, answer = command.removeprefix("pyregistry ").partition("#")
    assert run(*question.split()[:-1], config).stdout == answer.strip() + "\n"
    for user, action, repository, status in [
        *(("admin", "delete", "any/thing", 0), ("ci", "push", "ci/app", 0), ("alice", "pull", "ci/app", 0)),
        *(("alice", "push", "ci/app", 1), ("eve", "pull", "ci/app", 1), ("anonymous", "pull", "public/app", 0)),
    ]:
        assert run("access", "check", user, action, repository, config).returncode == status


def test_without_rules_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(HEAD)
    done = run("access", "check", "bob", "push", "app", tmp_path / "config.yml")
    assert done.returncode == 0
    assert done.stdout.startswith("yes: there are no rules")


@pytest.mark.parametrize(
    ("question", "word"), [(("bob", "fly", "app"), "'fly'"), (("bob", "pull", "BAD"), "'BAD'"), (("bob", "pull"), "")]
)
def test_a_question_that_makes_no_sense_ends_with_2(config: Path, question: tuple[str, ...], word: str) -> None:
    done = run("access", "check", *question, config)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_rules_end_with_2_and_their_place_here_and_in_check_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    wrong = [*RULES, {"repositories": "a", "who": "b", "actions": ["pul"]}]
    path.write_text(HEAD + f"pyregistry: {json.dumps({'access': wrong, 'groups': GROUPS})}\n")
    for command in [("access", "check", "bob", "pull", "a", path), ("check-config", path)]:
        done = run(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "pyregistry.access[3].actions: 'pul', expected some of pull, push, delete" in done.stderr
