"""Forks are measured however they end, and only the process that they were forked from saves data."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from coverage import CoverageData

from pyregistry.api.transport.workers import Arbiter, Worker
from pyregistry.cli.data_directory import become_owner_of
from pyregistry.gc import parallel
from tests import forked
from tests.processes import forked_server, require_root

MEASURED = "import runpy, coverage; coverage.process_startup(); runpy.run_module('tests.forked', run_name='__main__')"
CONFIG = """[run]
branch = true
parallel = true
core = ctrace
source = pyregistry
data_file = {directory}/data
"""
COLLECTORS = """
from pyregistry.gc.parallel import parallel_map
with parallel_map(abs, [-1, -2, -3], 2) as results:
    assert list(results) == [1, 2, 3]
"""
ONE_CALL = """
import os, signal
from pyregistry.gc.parallel import worth_forking
worth_forking(1, 1)
"""
OWNER = """
import os, pathlib
from pyregistry.cli.data_directory import become_owner_of
become_owner_of(pathlib.Path({root!r}))
assert os.geteuid() == {user}
"""
USER = 1234

Reached = Callable[[Callable[..., Any]], set[int]]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give the directory of the measurement, which others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="pyregistry-measured-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def reached(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    """Measure the programs of the test; then `reached(function)` returns the lines in its body that they reached."""
    (directory / "measure.ini").write_text(CONFIG.format(directory=directory))
    with monkeypatch.context() as environ:
        environ.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # the tests' own measurement is another one
        environ.setenv("COVERAGE_PROCESS_START", str(directory / "measure.ini"))
        source = forked.Source((sys.executable, "-c", MEASURED))
    monkeypatch.setitem(forked._sources, os.getpid(), source)

    def reached(function: Callable[..., Any]) -> set[int]:
        source.end(os.getpid())
        [file] = directory.glob("data.*")
        data = CoverageData(str(file))
        data.read()
        assert isinstance(function, FunctionType)
        code = function.__code__
        body = {line for *_, line in code.co_lines() if line} - {code.co_firstlineno}
        return body & set(data.lines(code.co_filename) or ())

    yield reached
    source.end(os.getpid())


def test_a_server_and_its_workers_are_counted(reached: Reached, tmp_path: Path) -> None:
    with forked_server(tmp_path, pyregistry={"workers": 2}):
        pass
    assert reached(Arbiter.stop)
    assert reached(Worker._serve)
    assert reached(Worker.handle_exit)
    assert not reached(Arbiter._stop_now)


def test_processes_of_a_collection_are_counted(reached: Reached) -> None:
    forked.run([sys.executable, "-c", COLLECTORS], check=True)
    assert reached(parallel._send)


def test_a_process_that_a_signal_ends_is_counted_and_has_the_status_of_the_signal(reached: Reached) -> None:
    done = forked.run([sys.executable, "-c", f"{ONE_CALL}os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()"])
    assert done.returncode == -signal.SIGTERM
    assert reached(parallel.worth_forking)


def test_a_process_that_gave_up_roots_rights_is_counted(reached: Reached, directory: Path) -> None:
    require_root()
    os.chown(directory, USER, USER)
    code = OWNER.format(root=str(directory), user=USER)
    forked.run([sys.executable, "-c", code], check=True)
    assert reached(become_owner_of)


def test_a_process_that_was_killed_while_it_wrote_does_not_hide_another(reached: Reached, directory: Path) -> None:
    forked.run([sys.executable, "-c", "pass"], check=True)
    [records] = directory.glob("forks.*")
    with records.open("ab") as file:
        file.write(b'\n{"pyregistry/gc/parallel.py": [1')
    forked.run([sys.executable, "-c", ONE_CALL], check=True)
    assert reached(parallel.worth_forking)


def test_what_the_source_has_learned_is_not_written_again(reached: Reached, directory: Path) -> None:
    for _ in range(2):
        forked.run([sys.executable, "-m", "pyregistry", "--version"], check=True)
    [records] = directory.glob("forks.*")
    size = records.stat().st_size
    forked.run([sys.executable, "-m", "pyregistry", "--version"], check=True)
    assert records.stat().st_size == size > 0
