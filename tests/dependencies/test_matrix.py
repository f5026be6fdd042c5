"""The runs of `make test-versions`: which Pythons are found, and what a missing one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dependencies.constraints import supported_pythons
from tests.dependencies.matrix import QUICK, main
from tests.dependencies.pythons import PythonMissing, find
from tests.processes import SOURCE_TREE

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


def write_python(path: Path, version: str) -> None:
    """Write a program that gives this version, or fails as pyenv's shims do if it is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)


def test_a_python_of_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_python(tmp_path / "bin/python3.98", "3.98")
    write_python(tmp_path / "pyenv/versions/3.98.1/bin/python", "3.98")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert find("3.98") == tmp_path / "bin/python3.98"


@pytest.mark.parametrize("shim", ["", "3.97"])
def test_the_newest_of_pyenv_is_found_behind_a_shim_that_does_not_work(
    shim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_python(tmp_path / "bin/python3.98", shim)
    for version in ("3.98.2", "3.98.10", "3.98.9"):
        write_python(tmp_path / "pyenv/versions" / version / "bin/python", "3.98")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert find("3.98") == tmp_path / "pyenv/versions/3.98.10/bin/python"


def test_a_python_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(PythonMissing, match=r"Python 3\.98 not found"):
        find("3.98")


@pytest.mark.parametrize(
    ("required", "code", "said"),
    [("", 0, "its tests are left out"), ("3.11 3.98", 1, "it is required"), ("3.98", 1, "3.98 (missing)")],
)
def test_a_missing_python_is_said_and_fails_where_it_is_required(required: str, code: int, said: str) -> None:
    environ = {**os.environ, "PYTHONS": "3.98", "PYREGISTRY_REQUIRE_PYTHONS": required}
    command = [sys.executable, "-m", "tests.dependencies.matrix"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=SOURCE_TREE, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert "Python 3.98 not found" in done.stdout
    assert said in done.stdout


def test_an_environment_that_cannot_be_made_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_python(tmp_path / "bin/python3.98", "3.98; case $1 in -m) exit 5;; esac")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    assert main({"PYTHONS": "3.98", "DEPENDENCIES": "floors"}) == 1
    written = capfd.readouterr().out
    assert "Python 3.98-floors: environment not made" in written
    assert "versions that failed: 3.98-floors" in written


def test_all_that_the_quick_part_names_is_there() -> None:
    assert [place for place in QUICK if not (SOURCE_TREE / place).exists()] == []


def test_this_python_is_one_of_those_that_are_promised() -> None:
    assert OWN in supported_pythons()
