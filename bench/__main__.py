"""`python -m bench run` measures and saves; `python -m bench report` makes page and plot from what was saved."""

import argparse
import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.gc_report import GC_RESULTS, write_gc_table
from bench.loads import LoadError, Programs
from bench.report import print_row, write_plot, write_table
from bench.results import Figures, Run, load, save
from bench.servers import Contender, contenders, source_version
from bench.trees import make_tree
from bench.works import WORKS, Bed, Work, write_htpasswd
from tests.engine.engine import Daemon, Engine

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs/performance.md"
MEMORY = Path("/dev/shm")
_ORDER = [work.key for work in WORKS]


def main() -> int:
    """See --help."""
    options = _options()
    if options.command == "report":
        runs = [load(path) for path in sorted(RESULTS.glob("*.json"))]
        write_table(PAGE, runs)
        write_gc_table(PAGE, [load(path) for path in sorted(GC_RESULTS.glob("*.json"))])
        write_plot(RESULTS, runs)
        return 0
    works = [work for work in WORKS if _wanted(work, options)]
    if options.command == "list":
        for work in works:
            print(f"{work.key:24}{work.title}")
        return 0
    found, missing = contenders(options.build)
    for name, reason in missing.items():
        print(f"without {name}: {reason}")
    if options.against:
        found = [each for each in found if each.name == "pyregistry" or each.name in options.against]
    run = Run(
        medium=options.medium,
        version=source_version(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        missing=missing,
    )
    target = RESULTS / f"{options.medium}.json"
    if options.only and target.exists():
        run.figures = [each for each in load(target).figures if each.key in _ORDER]  # the rest of the table stays
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory, ExitStack() as stack:
        field = Field(Path(directory), Programs.build(options.build), found, stack)
        for work in works:
            figures = field.measure(work, work.rounds or options.rounds)
            run.figures = [each for each in run.figures if each.key != work.key] + [figures]
            run.figures.sort(key=lambda each: _ORDER.index(each.key))
            print_row(figures)
            save(run, target)
    return 0


class Field:
    """Where the contenders meet."""

    def __init__(self, directory: Path, programs: Programs, found: list[Contender], stack: ExitStack) -> None:
        self._directory = directory
        self._programs = programs
        self._found = found
        self._stack = stack
        self._engine: Engine | None = None
        self._tree: tuple[int, Path] | None = None

    def measure(self, work: Work, rounds: int) -> Figures:
        """All rounds of a work: in turn, and each round begins with another one."""
        values: dict[str, list[float]] = {}
        errors: dict[str, str] = {}
        with ExitStack() as stack:
            beds = [self._bed(each, work, stack) for each in self._found if self._takes_part(each, work)]
            for bed in list(beds):
                try:
                    work.prepare(bed)
                    if work.rate:
                        work.measure(bed)  # once for the caches of all
                except (LoadError, AssertionError, OSError) as error:
                    errors[bed.contender.name] = str(error)[:300]
                    beds.remove(bed)
            for number in range(rounds):
                first = number % max(len(beds), 1)
                for bed in beds[first:] + beds[:first]:
                    if bed.contender.name in errors:
                        continue
                    try:
                        values.setdefault(bed.contender.name, []).append(work.measure(bed))
                    except (LoadError, AssertionError, OSError) as error:
                        errors[bed.contender.name] = str(error)[:300]
                        values.pop(bed.contender.name, None)
        return Figures(work.key, work.title, work.unit, work.rate, work.target, values, errors)

    def _takes_part(self, contender: Contender, work: Work) -> bool:
        if work.only_layout or work.engine:
            return contender.name == "pyregistry" or contender.name.startswith("CNCF")
        return work.bcrypt_cost is None or contender.name != "olareg"  # which has no users

    def _bed(self, contender: Contender, work: Work, stack: ExitStack) -> Bed:
        workspace = self._directory / f"{work.key}-{contender.name.replace(' ', '-')}"
        workspace.mkdir()
        stack.callback(shutil.rmtree, workspace)
        data = workspace / "data"
        if work.repositories is None:
            data.mkdir()
        else:
            data = self._data_with(work.repositories)
        htpasswd = None
        if work.bcrypt_cost is not None:
            htpasswd = workspace / "htpasswd"
            write_htpasswd(htpasswd, work.bcrypt_cost)
        server = contender.server(data, workspace, htpasswd, {})
        stack.enter_context(server)
        engine = self._daemon() if work.engine else None
        bed = Bed(contender, server, data, workspace, self._programs, engine)
        if work.repositories is not None:
            bed.known["repositories"] = str(work.repositories)
        return bed

    def _data_with(self, repositories: int) -> Path:
        if self._tree is None or self._tree[0] != repositories:
            if self._tree is not None:
                shutil.rmtree(self._tree[1])
            path = self._directory / f"tree-{repositories}"
            make_tree(path, repositories, tags=100_000 if repositories == 100_000 else 1)
            self._tree = repositories, path
        return self._tree[1]

    def _daemon(self) -> Engine:
        if self._engine is None:
            directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-docker-")))
            daemon = Daemon(directory)
            self._stack.callback(daemon.remove)
            self._stack.enter_context(daemon)
            self._engine = Engine(daemon)
        return self._engine


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("command", choices=("run", "report", "list"))
    parser.add_argument("--quick", action="store_true", help="a subset of the works, in two rounds unless --rounds")
    parser.add_argument("--only", nargs="*", metavar="WORK", help="these works, by key or by its beginning")
    parser.add_argument("--against", nargs="*", metavar="NAME", help="these registries only, as 'CNCF 3.1.1'")
    parser.add_argument("--rounds", type=int, help="how often each work is done (5)")
    parser.add_argument("--medium", choices=("tmpfs", "disk"), default="tmpfs", help="what the registries write to")
    parser.add_argument("--directory", type=Path, help="where that is mounted (/dev/shm, or the temporary directory)")
    parser.add_argument("--build", type=Path, default=HERE / ".build", help="where what is built from Go goes")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.directory = options.directory or (MEMORY if options.medium == "tmpfs" else None)
    return options


def _wanted(work: Work, options: argparse.Namespace) -> bool:
    if options.only:
        return any(work.key.startswith(key) for key in options.only)
    return work.quick or not options.quick


if __name__ == "__main__":
    sys.exit(main())
