"""The slow tests are left out by `make test` alone, and every one of them runs in CI."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE, require
from tests.slow import ENGINES, SLOW, is_slow

BOUND = 93
"""Percent of lines and branches; never lowered."""


def _words(target: str) -> list[str]:
    """Return the words of the pytest command that `make` runs for this target."""
    words = [require("make", "make"), "--dry-run", "--always-make", "PYTHON=true", "ARGS=", target]
    done = subprocess.run(words, cwd=SOURCE_TREE, capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if "-m pytest" in line]
    return shlex.split(line.partition("-m pytest")[2])


def _selected(*words: str) -> set[str]:
    """Return the files with tests that pytest would run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=SOURCE_TREE, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    return {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}


def test_make_test_leaves_out_the_slow_ones_and_test_all_none() -> None:
    assert _words("test")[-2:] == ["-m", "not slow"]
    assert "-m" not in _words("test-all")


def test_coverage_is_measured_over_what_make_test_runs_and_has_a_bound() -> None:
    assert _words("coverage") == _words("test")
    settings = tomllib.loads((SOURCE_TREE / "pyproject.toml").read_text())["tool"]["coverage"]
    assert settings["run"]["branch"]
    assert settings["report"]["fail_under"] >= BOUND


def test_ci_runs_every_test_once() -> None:
    lines = (SOURCE_TREE / ".ci/run").read_text().splitlines()
    commands = [line.partition(" #")[0] for line in lines]
    assert [line for line in commands if re.match(r"make (test|test-all|coverage)( |$)", line)] == [
        "make coverage",
        'make test-all ARGS="-m slow"',
    ]


def test_what_is_marked_is_deselected_and_nothing_else() -> None:
    quick = "tests/test_documents.py"
    assert _selected("-m", "not slow", quick, *SLOW) == {quick}
    slow = _selected("-m", "slow", quick, *SLOW)
    assert quick not in slow
    assert [place for place in SLOW if not any(file.startswith(place) for file in slow)] == []


@pytest.mark.parametrize("fixture", sorted(ENGINES))
def test_a_test_that_needs_an_engine_is_slow_wherever_it_is(fixture: str) -> None:
    assert is_slow("tests/api/test_new.py::test_new", ["tmp_path", fixture])
    assert not is_slow("tests/api/test_new.py::test_new", ["tmp_path"])
    fixtures = "\n".join(path.read_text() for path in Path(SOURCE_TREE / "tests").rglob("*.py"))
    assert f"def {fixture}(" in fixtures, "no fixture has this name"
