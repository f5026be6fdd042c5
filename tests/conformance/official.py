"""The OCI's conformance program against our server, in eight runs: `make conformance`.

Needs Go, which fetches the program. It is judged by its counts: its exit status is 0 as well when it could not read
its configuration. With `--write` the results go into docs/conformance.md; without, that page must agree with them.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import SOURCE_TREE, pyregistry_server

MODULE = "github.com/opencontainers/distribution-spec/conformance"
# The newest version that the Go module proxy has. It has no 967efdc, with which the peers were measured; built from
# its source, that one gives the same counts for this server.
VERSION = "v0.0.0-20260831232431-97274622c111"
PAGE = SOURCE_TREE / "docs/conformance.md"
BEGIN, END = "<!-- official -->\n", "<!-- /official -->\n"
COUNTS = ("Pass", "FAIL", "Error", "Skip", "Disabled", "Total")
_COUNT = re.compile(r"^ {2}(\w+)\.+: +(\d+)$", re.MULTILINE)
USER, PASSWORD = "conformance", "wonderland"
# bcrypt of the password at cost 5, made with `htpasswd -Bbn conformance wonderland`
HTPASSWD = "conformance:$2y$05$dn2DpDn3WF.mSN2ajM.5guOC9TH3z6uxUV2Hrz0YuPkYOm23HWncu\n"

# docs: the peers, measured with 967efdc on empty storage, without authentication, with deletion enabled.
PEERS = (
    ("CNCF distribution 2.8.2", "1.1", (703, 99, 0, 44, 2, 848)),
    ("CNCF distribution 2.8.2", "dev", (776, 153, 0, 61, 0, 990)),
    ("CNCF distribution 3.1.1", "1.1", (738, 94, 0, 16, 2, 850)),
    ("CNCF distribution 3.1.1", "dev", (821, 146, 0, 25, 0, 992)),
    ("olareg 0.2.2", "1.1", (854, 0, 0, 2, 2, 858)),
    ("olareg 0.2.2", "dev", (980, 0, 0, 2, 0, 982)),
)


@dataclass(frozen=True)
class Run:
    """One way to run the program."""

    version: str
    sparse: bool
    auth: bool

    def __str__(self) -> str:
        return " ".join([self.version, *["sparse"] * self.sparse, *["htpasswd"] * self.auth])

    @property
    def disabled(self) -> int:
        """The number of tests that the version itself leaves out: the two of cancelling an upload are not in 1.1."""
        return 2 if self.version == "1.1" else 0


RUNS = tuple(Run(*choice) for choice in itertools.product(("1.1", "dev"), (False, True), (False, True)))


def install(directory: Path) -> Path:
    """Build the program; its path."""
    environment = {**os.environ, "GOBIN": str(directory), "GOFLAGS": "-buildvcs=false"}
    subprocess.run(["go", "install", f"{MODULE}@{VERSION}"], env=environment, check=True)
    return directory / "conformance"


def execute(program: Path, run: Run) -> Mapping[str, int]:
    """Start a server on empty storage, run the program against it; its counts."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        sections: dict[str, Any] = {"pyregistry": {"sparse": run.sparse}, "log": {"accesslog": {"disabled": True}}}
        if run.auth:
            (directory / "htpasswd").write_text(HTPASSWD)
            sections["auth"] = {"htpasswd": {"realm": "conformance", "path": str(directory / "htpasswd")}}
        with pyregistry_server(directory, **sections) as server:
            environment = {
                **os.environ,
                "OCI_REGISTRY": server.host,
                "OCI_TLS": "disabled",
                "OCI_VERSION": run.version,
                "OCI_DATA_SPARSE": str(run.sparse).lower(),
                "OCI_RESULTS_DIR": str(directory / "results"),
                **({"OCI_USERNAME": USER, "OCI_PASSWORD": PASSWORD} if run.auth else {}),
            }
            done = subprocess.run(
                [program], env=environment, cwd=directory, capture_output=True, text=True, check=False, timeout=300
            )
    counts = {name: int(number) for name, number in _COUNT.findall(done.stdout) if name in COUNTS}
    if set(counts) != set(COUNTS):
        raise SystemExit(f"{run}: the program gave no counts\n{done.stdout}{done.stderr}")
    if not passed(run, counts):
        print(done.stdout)
    return counts


def passed(run: Run, counts: Mapping[str, int]) -> bool:
    """Nothing failed and nothing was skipped, and the program did test something."""
    bad = counts["FAIL"] + counts["Error"] + counts["Skip"]
    return not bad and counts["Disabled"] == run.disabled and counts["Pass"] == counts["Total"] - run.disabled > 800


def table(results: Mapping[Run, Mapping[str, int]]) -> str:
    """The part of the page between the two marks."""
    lines = [f"| registry | run | {' | '.join(COUNTS)} |", f"|---|---|{'---:|' * len(COUNTS)}"]
    for run, counts in results.items():
        lines.append(f"| **pyregistry** | {run} | {' | '.join(str(counts[name]) for name in COUNTS)} |")
    for peer, version, numbers in PEERS:
        lines.append(f"| {peer} | {version} | {' | '.join(map(str, numbers))} |")
    return "\n".join([f"Program: `{MODULE}@{VERSION}`", "", *lines, ""])


def main(arguments: Sequence[str]) -> int:
    """Run all eight; 0 if each passed and the page agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the results into docs/conformance.md")
    options = parser.parse_args(arguments)
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        program = install(Path(directory))
        for run in RUNS:
            results[run] = execute(program, run)
            print(f"{run!s:<20}", ", ".join(f"{name} {results[run][name]}" for name in COUNTS), flush=True)
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    expected = f"{head}{BEGIN}{table(results)}{END}{tail}"
    if options.write:
        PAGE.write_text(expected)
    elif page != expected:
        print(f"{PAGE} does not agree: make conformance ARGS=--write")
        return 1
    return 0 if all(passed(run, counts) for run, counts in results.items()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
