"""The table of docs/conformance.md that says which client was seen doing what: made from the marks on the tests.

`make conformance-table` writes it; without `--write` the page must agree. A mark is `client(name, operation)`.
"""

import argparse
import contextlib
import io
import itertools
import sys
from collections import defaultdict
from collections.abc import Sequence

import pytest

from tests.clients.install import NODE, PACKAGES
from tests.processes import SOURCE_TREE

PAGE = SOURCE_TREE / "docs/conformance.md"
BEGIN, END = "<!-- clients -->\n", "<!-- /clients -->\n"
ROOMS = ("tests/engine", "tests/clients")
CLIENTS = {
    "docker": "Debian's docker.io, the engine with its classic image store",
    "ctr": "Debian's containerd",
    "podman": "Debian's podman",
    "buildah": "Debian's buildah",
    "skopeo": "Debian's skopeo",
    **{name: f"`{package}`" for name, package in PACKAGES.items()},
    "oras-py": "`oras` from PyPI",
    "requests": "`requests` from PyPI, in scripts that go on with the `Location` as it came",
    **{name: f"`{name}@{version}` from npm" for name, version in NODE.items()},
    "registry-cli": "A script of ours that makes the requests of registry-cli, which no package brings",
    "ch-image": "Debian's charliecloud",
    "curl": "Debian's curl",
}
OPERATIONS = (
    *(
        "push",
        "push again",
        "push an index",
        "pull",
        "pull by digest",
        "pull an index",
        "pull in parts",
        "run",
        "resume",
    ),
    *("copy", "modify", "tag", "delete", "back up and restore"),
    *("inspect", "list tags", "list repositories", "single blobs", "upload in chunks"),
    *("attach", "list referrers", "sign and verify", "log in", "pull without login", "be denied", "unknown name"),
)

Cells = dict[str, dict[str, set[str]]]


class Collector:
    """A pytest plugin that notes, for each client and operation, the tests that bear its mark."""

    def __init__(self) -> None:
        self.cells: Cells = defaultdict(lambda: defaultdict(set))
        self.wrong: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            test = item.nodeid.partition("[")[0]
            marks = [mark.args for mark in item.iter_markers("client")]
            if not marks and test.startswith("tests/clients/") and "/test_table.py" not in test:
                self.wrong.add(f"{test} has no mark client(name, operation)")
            for name, operation in marks:
                if name not in CLIENTS or operation not in OPERATIONS:
                    self.wrong.add(f"{test}: ({name!r}, {operation!r}) is not in tests/client_table.py")
                self.cells[name][operation].add(test)


def collect() -> Cells:
    """Let pytest find all tests of clients, without running any."""
    collector, output = Collector(), io.StringIO()
    rooms = [str(SOURCE_TREE / room) for room in ROOMS]
    with contextlib.redirect_stdout(output):
        status = pytest.main(["--collect-only", "-q", f"--rootdir={SOURCE_TREE}", *rooms], plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise SystemExit(output.getvalue())
    if collector.wrong:
        raise SystemExit("\n".join(sorted(collector.wrong)))
    return collector.cells


def linked(test: str) -> str:
    """The name of a test, with a link to its file."""
    path, _, name = test.partition("::")
    return f"[{name}](../{path})"


def matrix(cells: Cells) -> list[str]:
    """Client by operation; a tick leads to the names of the tests."""
    lines = [f"| | {' | '.join(CLIENTS)} |", f"|---|{':-:|' * len(CLIENTS)}"]
    for operation in OPERATIONS:
        ticks = [f"[✓](#{client})" if cells[client][operation] else "" for client in CLIENTS]
        lines.append(f"| {operation} | {' | '.join(ticks)} |")
    return lines


def details(client: str, cells: Cells) -> list[str]:
    """The tests behind one column."""
    rows = [
        f"| {operation} | {'; '.join(map(linked, sorted(cells[client][operation])))} |"
        for operation in OPERATIONS
        if cells[client][operation]
    ]
    return ["", f"### {client}", "", f"{CLIENTS[client]}.", "", "| operation | tests |", "|---|---|", *rows]


def table(cells: Cells) -> str:
    """The part of the page between the two marks."""
    below = itertools.chain.from_iterable(details(client, cells) for client in CLIENTS)
    return "\n".join([*matrix(cells), *below, ""])


def main(arguments: Sequence[str]) -> int:
    """Compare the page with the tests, or write it; 0 if they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/conformance.md")
    options = parser.parse_args(arguments)
    page = PAGE.read_text()
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{PAGE} has no {BEGIN.strip()} … {END.strip()}")
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    expected = f"{head}{BEGIN}{table(collect())}{END}{tail}"
    if options.write:
        PAGE.write_text(expected)
    elif page != expected:
        print(f"{PAGE} does not agree with the tests: make conformance-table")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
