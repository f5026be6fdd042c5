"""The programs written in Go, at pinned versions: `make clients` builds what is missing into .venv/clients.

The Go module proxy serves each version for ever and its checksum is checked, so a version means the same everywhere.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.processes import REQUIRE_CLIENTS, SOURCE_TREE

PACKAGES = {
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
    "regctl": "github.com/regclient/regclient/cmd/regctl@v0.11.7",
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "helm": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "cosign": "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5",  # v3 has no more signatures under tags by default
}
SERVERS = {
    # Not `registry`, its own name: that is one of ours as well.
    "cncf-registry": "github.com/distribution/distribution/v3/cmd/registry@v3.1.1",
}

OWN = {"reverse-proxy": SOURCE_TREE / "tests/proxies/reverse_proxy"}
"""Programs of our own, by the directory of their source."""


def built(program: Path) -> str | None:
    """The package and version that a program was built from; None if there is no such program."""
    done = subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=False)
    rows = [line.split("\t")[1:] for line in done.stdout.splitlines()]
    found = {row[0]: row[1:] for row in rows if row and row[0] in ("path", "mod")}
    return f"{found['path'][0]}@{found['mod'][1]}" if len(found) == 2 else None


def install(name: str, package: str, directory: Path) -> None:
    """Build one program under this name; Go's cache makes the next time quick."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as own:
        environment = {**os.environ, "GOBIN": own, "GOFLAGS": "-buildvcs=false"}
        subprocess.run(["go", "install", package], env=environment, check=True)
        [program] = Path(own).iterdir()
        program.replace(directory / name)


def build(name: str, source: Path, directory: Path) -> None:
    """Build one of our own, which needs nothing but Go's standard library; Go's cache knows whether it changed."""
    directory.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = ["go", "build", "-buildvcs=false", "-o", directory / name, "."]
    subprocess.run(command, cwd=source, env={**os.environ, "GOFLAGS": "", "GOWORK": "off"}, check=True)


def main(arguments: Sequence[str]) -> int:
    """Install what is missing into the directory; without Go an error only where all clients are promised."""
    directory = Path(arguments[0]).absolute()
    wanted = {**PACKAGES, **SERVERS}
    if shutil.which("go") is None:
        print(
            f"Go (https://go.dev/dl, 1.21 or newer) is not installed, so there will be no {', '.join([*wanted, *OWN])}"
        )
        return 1 if os.environ.get(REQUIRE_CLIENTS) == "1" else 0
    for name, package in wanted.items():
        if built(directory / name) != package:
            start = time.monotonic()
            print(f"building {package}", flush=True)
            install(name, package, directory)
            print(f"  took {time.monotonic() - start:.0f} s", flush=True)
    for name, source in OWN.items():
        build(name, source, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
