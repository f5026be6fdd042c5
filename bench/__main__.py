"""`python -m bench run` measures and saves; `python -m bench report` makes page and plot of the saved results."""

import argparse
import io
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import auth, hostile
from bench.competitors import FAULTS, Competitors
from bench.gc_report import GC_RESULTS, write_gc_table
from bench.loads import Programs
from bench.plot import write_plots
from bench.report import derived, print_row, write_tables
from bench.results import OURS, Figures, Run, load, save
from bench.servers import configs, contenders, source_version
from bench.workloads import WORKS, groups

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs/performance.md"
_ENOUGH = 3
"""Fewer rounds are not saved."""
_PARTS: list[tuple[Callable[[Path, int | None], list[Figures]], list[str]]] = [
    *auth.PARTS.items(),
    *hostile.PARTS.items(),
]
_KEYS = [work.key for work in WORKS] + list(auth.KEYS) + list(hostile.KEYS)


def main() -> int:
    """Run the command of the arguments."""
    options = _options()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # also into a file
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or the servers would keep running
    commands = {"run": _measure, "report": _report, "list": _list}
    return commands[options.command](options)


def _report(_: argparse.Namespace) -> int:
    runs = [load(path) for path in sorted(RESULTS.glob("*.json"))]
    write_tables(PAGE, runs)
    write_gc_table(PAGE, [load(path) for path in sorted(GC_RESULTS.glob("*.json"))])
    write_plots(RESULTS, runs)
    return 0


def _list(options: argparse.Namespace) -> int:
    for key, title in [*((work.key, work.title) for work in WORKS), *auth.KEYS.items(), *hostile.KEYS.items()]:
        if _wanted(key, options):
            print(f"{key:24}{title}")
    return 0


def _measure(options: argparse.Namespace) -> int:
    found, missing = contenders(options.build)
    for name, reason in missing.items():
        print(f"without {name}: {reason}")
    if options.against is not None:
        found = [each for each in found if each.name == OURS or each.name in options.against]
    run = Run(options.medium, _machine(), missing, configs(found))
    for name, config in run.configs.items():
        print(f"\nconfig of {name}:\n{config}", end="")
    target = RESULTS / f"{options.medium}.json"
    if options.only and target.exists():
        run.keep(load(target), _KEYS)  # the rest of the table stays
    begin, status = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory, ExitStack() as stack:
        competitors = Competitors(Path(directory), Programs.build(options.build), found, stack)
        for job in _jobs(competitors, options):
            try:
                _take(run, job, competitors)
            except FAULTS as error:  # the others do not depend on it
                status = 1
                print(f"\nNOT MEASURED: {error}", flush=True)
            if options.rounds is None or options.rounds >= _ENOUGH:
                save(run, target)
    print(f"\nall of it took {(time.monotonic() - begin) / 60:.1f} minutes")
    return status


def _jobs(competitors: Competitors, options: argparse.Namespace) -> list[Callable[[], list[Figures]]]:
    """Return the jobs; each measures its works interleaved."""
    rounds: int | None = options.rounds
    works = [work for work in WORKS if _wanted(work.key, options)]
    jobs = [partial(competitors.measure, group, rounds or group[0].rounds or 5) for group in groups(works)]
    parts = [
        partial(part, competitors.directory, rounds)
        for part, keys in _PARTS
        if any(_wanted(key, options) for key in keys)
    ]
    return [*jobs, *parts]


def _take(run: Run, job: Callable[[], list[Figures]], competitors: Competitors) -> None:
    version = source_version()
    measured = job()
    for figures in measured:
        figures.version, figures.date = version, datetime.now(UTC).strftime("%Y-%m-%d")
    keys = {each.key for each in measured}
    run.figures = [each for each in run.figures if each.key not in keys] + measured
    run.figures.sort(key=lambda each: _KEYS.index(each.key))
    run.logs.update(competitors.logs)
    for figures in derived(measured):
        print_row(figures)


def _machine() -> str:
    return f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("command", choices=("run", "report", "list"))
    parser.add_argument("--quick", action="store_true", help="some of the works, in two rounds")
    parser.add_argument("--only", nargs="*", metavar="WORK", help="these works, by key or by its beginning")
    parser.add_argument("--against", nargs="*", metavar="NAME", help="these registries only, as 'CNCF 3.1.1'")
    parser.add_argument(
        "--rounds",
        type=int,
        help="rounds of each work (5, and 3 of the long ones); fewer than 3 are not saved",
    )
    parser.add_argument("--medium", choices=("tmpfs", "disk"), default="tmpfs", help="what the registries write to")
    parser.add_argument("--directory", type=Path, help="where that is mounted (/dev/shm, or the temporary directory)")
    parser.add_argument("--build", type=Path, default=HERE / ".build", help="directory for programs built from Go")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else None)
    options.directory = options.directory or (Path("/dev/shm") if options.medium == "tmpfs" else None)
    return options


def _wanted(key: str, options: argparse.Namespace) -> bool:
    if options.only:
        return any(key.startswith(beginning) for beginning in options.only)
    return not options.quick or any(work.key == key and work.quick for work in WORKS)


if __name__ == "__main__":
    sys.exit(main())
