"""Writes the saved results as tables into docs/performance.md."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from bench.results import OURS, REFERENCE, Figures, Run, Target

BEGIN, END = "<!-- made by `make bench-report` -->", "<!-- end -->"
_SIZE, _HOSTILE = "size-", "hostile-"


def print_row(figures: Figures) -> None:
    """Print a new result."""
    print(f"\n{figures.title} ({figures.unit}), {figures.seconds:.0f} s")
    for name, values in figures.values.items():
        ratios = figures.ratios(name)
        line = f"  {name:16}{median(values):12.2f}"
        if name != figures.ours and ratios:
            line += f"  ratio {median(ratios):7.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
        if name in figures.load:
            line += f"  load {median(figures.load[name]):.0%}"
        print(line)
    for name, error in figures.errors.items():
        print(f"  {name:16}{error}")
    if figures.strangers:
        print(f"  other programs  {median(figures.strangers):12.0%}  (at most {max(figures.strangers):.0%})")
    if figures.target is not None:
        mark = {True: "reached", False: "NOT reached", None: "no figure"}[figures.reached()]
        print(f"  wanted: {_wanted(figures)}: {mark}", flush=True)


def write_tables(page: Path, runs: Sequence[Run]) -> None:
    """Put the tables between the two marks of the page."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join(_of_run(run) for run in runs)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


def derived(figures: Sequence[Figures]) -> list[Figures]:
    """Return the figures with derived ones inserted, each after the works that it comes from."""
    result = []
    by_key = {each.key: each for each in figures}
    for each in figures:
        result.append(each)
        if each.key == "memory-small" and "memory" in by_key:
            result.append(_growth(by_key["memory"], each))
    return result


def _growth(big: Figures, small: Figures) -> Figures:
    values = {
        name: [after - before for before, after in zip(small.values[name], values, strict=False)]
        for name, values in big.values.items()
        if name in small.values
    }
    # Two equal measurements differ by a tenth of the value.
    noise = median(small.values[OURS]) / 10 if small.values.get(OURS) else 0
    target = Target("≤", round(noise), absolute=True)
    title = "growth of that, for blobs 16 times as large (wanted: none; the bound is what two peaks differ by)"
    return Figures("memory-growth", title, "MiB", False, target, values, {}, big.version, big.date)


def _of_run(run: Run) -> str:
    compared = [each for each in derived(run.figures) if each.reference == REFERENCE and not _is_size(each)]
    hostile = [each for each in run.figures if each.key.startswith(_HOSTILE)]
    logins = [each for each in run.figures if each.reference != REFERENCE and each not in hostile]
    mixed = len(_commits(run.figures)) > 1
    plot = f"![the ratios as a plot](../bench/results/{run.medium}.svg)"
    parts = [_head(run), _table(compared, mixed=mixed), plot]
    parts += [f"{name} was not there: {reason}" for name, reason in run.missing.items()]
    for each in run.figures:
        parts += [f"{name} has no figure in “{each.title}”: {said}" for name, said in each.errors.items()]
    parts += [_sizes(run.figures), _beside("logins", logins, mixed=mixed)]
    parts += [_beside("p99 of others during an attack", hostile, mixed=mixed), _conditions(run)]
    return "\n\n".join(part for part in parts if part)


def _is_size(figures: Figures) -> bool:
    return figures.key.startswith(_SIZE)


def _commits(figures: Iterable[Figures]) -> set[str]:
    return {commit_of(each) for each in figures}


def _head(run: Run) -> str:
    commits = _commits(run.figures)
    if len(commits) == 1:
        return f"On {run.medium}, commit {commits.pop()}, {run.machine}."
    return f"On {run.medium}, {run.machine}, several commits: each line names that which it was measured on."


def _table(all_figures: Sequence[Figures], *, mixed: bool) -> str:
    others = [name for name in ("olareg", "zot") if any(name in each.values for each in all_figures)]
    titles = [
        "work",
        OURS,
        REFERENCE,
        "ratio",
        "smallest and largest (rounds)",
        "wanted",
        "CNCF 2.8.2",
        *others,
        "load",
    ]
    rows = []
    for figures in all_figures:
        cells = [
            figures.title,
            f"{number(figures, OURS)} {figures.unit}",
            number(figures, REFERENCE),
            *ratio_cells(figures),
            judged(figures),
            *(number(figures, name) for name in ("CNCF 2.8.2", *others)),
            " / ".join(f"{median(figures.load[name]):.0%}" for name in (OURS, REFERENCE) if name in figures.load),
        ]
        rows.append([*cells, commit_of(figures)] if mixed else cells)
    return grid([*titles, "commit"] if mixed else titles, rows)


def _sizes(all_figures: Sequence[Figures]) -> str:
    """Return the table of costs with ten and a hundred times as many repositories."""
    found: dict[str, list[Figures]] = {}
    for each in filter(_is_size, all_figures):
        found.setdefault(each.key.rpartition("-")[0], []).append(each)
    rows = []
    for works in found.values():
        title = works[0].title.rpartition(", ")[0]
        for name in (OURS, REFERENCE):
            sequence = [work.values.get(name, []) for work in works]
            growth = [last / first for first, last in zip(sequence[0], sequence[-1], strict=False)]
            cells = [f"{title} ({works[0].unit})", name, *(number(work, name) for work in works)]
            rows.append([*cells, f"{median(growth):.2f}" if growth else "", commit_of(works[0])])
    if not rows:
        return ""
    sizes = [f"{int(key.rpartition('-')[2]):,}" for key in (work.key for work in next(iter(found.values())))]
    titles = ["cost against size", "", *sizes, "last to first", "commit"]
    why = (
        "All sizes were measured in turn. A page of the catalog needs all names of a directory, and all repositories of"
        " this tree are in one: that is what grows."
    )
    return f"{grid(titles, rows)}\n\n{why}"


def _beside(title: str, all_figures: Sequence[Figures], *, mixed: bool) -> str:
    rows = []
    for each in all_figures:
        cells = [
            each.title,
            f"{number(each, each.ours)} {each.unit}",
            f"{number(each, each.reference)} ({each.reference})" if each.reference in each.values else "",
            *ratio_cells(each, 3),
            judged(each),
        ]
        rows.append([*cells, commit_of(each)] if mixed else cells)
    titles = [title, "with it", "against", "ratio", "smallest and largest (rounds)", "wanted"]
    return grid([*titles, "commit"] if mixed else titles, rows) if rows else ""


def _conditions(run: Run) -> str:
    strangers = [share for each in run.figures for share in each.strangers]
    parts = []
    if strangers:
        parts.append(
            "“load” is the load programs' part of the processor time of load and registry, with pyregistry and with"
            f" {REFERENCE}. Foreign programs took {median(strangers):.0%} of the processors (median of all"
            f" measurements; at most {max(strangers):.0%})."
        )
    if any(not each.strangers and each.reference == REFERENCE for each in run.figures):
        parts.append("If a work has no figure for the load, the share of other programs in it is unknown.")
    if run.logs:
        logs = "; ".join(f"{name} {said}" for name, said in run.logs.items())
        parts.append(f"Each writes its log to a file on the same medium, for one GET of a manifest: {logs}.")
    if seconds := sum(each.seconds for each in run.figures):
        parts.append(f"All of it took {seconds / 60:.0f} minutes.")
    alike: dict[str, list[str]] = {}
    for name, config in run.configs.items():
        alike.setdefault(config, []).append(name)
    parts += [
        f"Config of {' and '.join(names)}, with `auth` where a password is asked for:\n\n```yaml\n{config}```"
        for config, names in alike.items()
    ]
    return "\n\n".join(parts)


def grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" if line[0] != "---" else f"|{'|'.join(line)}|" for line in lines)


def ratio_cells(figures: Figures, digits: int = 2) -> tuple[str, str]:
    """Return the median of the ratios and their range; empty without ratios."""
    ratios = figures.ratios()
    if not ratios or min(map(abs, ratios)) == 0 or figures.key == "memory-growth":
        return "", ""
    return f"{median(ratios):.{digits}f}", f"{min(ratios):.{digits}f} … {max(ratios):.{digits}f} ({len(ratios)})"


def _wanted(figures: Figures) -> str:
    target = figures.target
    if target is None:
        return ""
    number = f"1 ± {target.number:g}" if target.sign == "±" else f"{target.sign} {target.number:g}"
    return f"{number} {figures.unit}" if target.absolute else number


def judged(figures: Figures) -> str:
    """Return the target, with a mark if it was missed."""
    return _wanted(figures) + (" **not reached**" if figures.reached() is False else "")


def commit_of(figures: Figures) -> str:
    """Return commit, date and machine of the measurement."""
    return ", ".join(filter(None, (figures.version, figures.date, figures.machine)))


def number(figures: Figures, name: str) -> str:
    """Return the median of this registry's values."""
    values = figures.values.get(name)
    if not values:
        return "failed" if name in figures.errors else ""
    middle = median(values)
    return f"{middle:,.0f}" if abs(middle) >= 100 else f"{middle:.3g}"
