"""tests/conformance notices when the server is broken: for each mutation it is run against a broken copy."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutating import mutate
from tests.mutations.mutations import MUTATIONS, Mutation
from tests.processes import SOURCE_TREE

_SECONDS = 120
_HELPERS = (
    "__init__",
    "builders",
    "conftest",
    "measured_forks",
    "modes",
    "parallel",
    "push",
    "raw",
    "slow",
    "versions",
)
_IMPORTS_THE_COPY = '''"""Ends the run, with another status than a failed test, unless what is tested is the copy."""

from pathlib import Path

import pyregistry

assert Path(pyregistry.__file__).is_relative_to(Path(__file__).parent)
'''


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The server and the tests that are run against it, in a tree of their own."""
    tree = tmp_path / "copy"
    unfinished = shutil.ignore_patterns("*.pyc.*")  # compiled files are copied; those being written have this name
    for package in ("pyregistry", "tests/conformance"):
        shutil.copytree(SOURCE_TREE / package, tree / package, ignore=unfinished)
    for helper in _HELPERS:
        shutil.copy(SOURCE_TREE / f"tests/{helper}.py", tree / "tests")
    shutil.copy(SOURCE_TREE / "pyproject.toml", tree)
    (tree / "conftest.py").write_text(_IMPORTS_THE_COPY)
    return tree


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_broken_server_is_noticed(copy: Path, mutation: Mutation) -> None:
    source = copy / "pyregistry" / mutation.file
    source.write_text(ast.unparse(mutate(source.read_text(), [(mutation.text, mutation.broken)])))
    done = _run_tests(copy, [mutation.caught_by], mutation.words)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert re.search(r"^1 failed\b", done.stdout, re.MULTILINE), done.stdout


def test_the_server_as_it_is_passes_all_that_the_mutations_fail(copy: Path) -> None:
    files = {mutation.caught_by for mutation in MUTATIONS}
    words = {mutation.words for mutation in MUTATIONS}
    done = _run_tests(copy, sorted(files), " or ".join(f"({word})" for word in sorted(words)))
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_a_copy_that_is_not_the_one_imported_is_no_failed_test(copy: Path) -> None:
    shutil.rmtree(copy / "pyregistry")
    done = _run_tests(copy, ["test_base.py"], "end_1")
    assert done.returncode not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}, done.stdout


def _run_tests(tree: Path, files: list[str], words: str) -> subprocess.CompletedProcess[str]:
    options = [
        "-x",
        "-q",
        "-p",
        "pytest_asyncio.plugin",
        "-p",
        "pytest_timeout",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        "temporary",
    ]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # no random order, and half the time
    environment = {**os.environ, **alone, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-k", words, *(f"tests/conformance/{file}" for file in files)],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
