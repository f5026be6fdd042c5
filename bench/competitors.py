"""Starts the competitors and measures the works, interleaved."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.environment import Environment, Work
from bench.loads import PASSWORD, USER, LoadError, Programs
from bench.results import Figures
from bench.servers import Contender
from bench.trees import make_tree
from bench.usage import Window
from tests.auth.credentials import write_htpasswd
from tests.engine.engine import Daemon, Engine

FAULTS = (LoadError, AssertionError, OSError, subprocess.SubprocessError)
"""Errors of a registry, a program or the machine: they give no result, but do not end the run."""


@dataclass
class Lane:
    """A competitor in a work."""

    work: Work
    env: Environment
    figures: Figures

    @property
    def failed(self) -> bool:
        """True after an error: it has no figures in this work."""
        return self.env.contender.name in self.figures.errors

    def fail(self, error: BaseException) -> None:
        """Note the error, and drop its earlier figures, which can no longer be compared."""
        name = self.env.contender.name
        self.figures.errors[name] = " ".join(str(error).split())[:300]
        self.figures.values.pop(name, None)
        self.figures.load.pop(name, None)


class Competitors:
    """The competitors, with data and programs for the works."""

    def __init__(self, directory: Path, programs: Programs, found: list[Contender], stack: ExitStack) -> None:
        self._directory = directory
        self._programs = programs
        self._found = found
        self._stack = stack
        self._daemon: Daemon | None = None
        self._engine: Engine | None = None
        self._trees: dict[tuple[int, int], Path] = {}
        self.logs: dict[str, str] = {}

    @property
    def directory(self) -> Path:
        """Directory that the registries write to."""
        return self._directory

    def measure(self, works: Sequence[Work], rounds: int) -> list[Figures]:
        """Measure all rounds of a group of works, interleaved; each round starts with another one."""
        begin = time.monotonic()
        figures = [Figures(each.key, each.title, each.unit, each.rate, each.target, {}) for each in works]
        with ExitStack() as stack:
            lanes = [
                Lane(work, self._environment(each, work, stack), found)
                for work, found in zip(works, figures, strict=True)
                for each in self._found
                if not work.contenders or each.name in work.contenders
            ]
            for lane in lanes:
                self._prepare(lane)
            for number in range(rounds):
                first = number % max(len(lanes), 1)
                for lane in lanes[first:] + lanes[:first]:
                    if not lane.failed:
                        self._measure(lane)
        for each in figures:
            each.seconds = round((time.monotonic() - begin) / len(figures), 1)
        return figures

    def _prepare(self, lane: Lane) -> None:
        try:
            lane.work.prepare(lane.env)
            if lane.work.rate:
                lane.work.before(lane.env)
                lane.work.measure(lane.env)  # once, to fill the caches
        except FAULTS as error:
            lane.fail(error)

    def _measure(self, lane: Lane) -> None:
        name = lane.env.contender.name
        try:
            lane.work.before(lane.env)
            engines = [self._daemon.pid] if self._daemon is not None else []
            with Window(lane.env.server, engines) as window:
                value = lane.work.measure(lane.env)
        except FAULTS as error:
            lane.fail(error)
            return
        assert window.spent is not None
        lane.figures.values.setdefault(name, []).append(value)
        lane.figures.load.setdefault(name, []).append(round(window.spent.load_share(lane.env.load), 3))
        lane.figures.strangers.append(round(window.spent.strangers, 3))
        if lane.env.logged and lane.work.bcrypt_cost is None:
            self.logs[name] = lane.env.logged

    def _environment(self, contender: Contender, work: Work, stack: ExitStack) -> Environment:
        workspace = self._directory / f"{work.key}-{contender.name.replace(' ', '-')}"
        workspace.mkdir()
        stack.callback(shutil.rmtree, workspace)
        data = workspace / "data" if work.repositories is None else self._data_with(work.repositories, work.tags)
        data.mkdir(exist_ok=True)
        htpasswd = None
        if work.bcrypt_cost is not None:
            htpasswd = workspace / "htpasswd"
            write_htpasswd(htpasswd, {USER: PASSWORD}, work.bcrypt_cost)
        server = contender.server(data, workspace, htpasswd, {})
        stack.enter_context(server)
        env = Environment(contender, server, data, workspace, self._programs, self._docker() if work.engine else None)
        if work.repositories is not None:
            env.known["repositories"] = str(work.repositories)
        return env

    def _data_with(self, repositories: int, tags: int) -> Path:
        """Return a tree, made once for the run; a tmpfs has too few inodes to keep the one with tags."""
        key = repositories, tags
        for other in [each for each in self._trees if each[1] and each != key]:
            shutil.rmtree(self._trees.pop(other))
        if key not in self._trees:
            path = self._directory / f"tree-{repositories}-{tags}"
            make_tree(path, repositories, tags)
            self._trees[key] = path
        return self._trees[key]

    def _docker(self) -> Engine:
        """Return the engine; its images are on a tmpfs, so that its disk is not measured."""
        if self._engine is None:
            directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="docker-", dir="/dev/shm")))
            self._daemon = Daemon(directory)
            self._stack.callback(self._daemon.remove)
            self._stack.enter_context(self._daemon)
            self._engine = Engine(self._daemon)
        return self._engine
