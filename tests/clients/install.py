"""The programs of no Debian package, at pinned versions: `make clients` brings what is missing into .venv/clients.

The Go module proxy serves each version for ever and its checksum is checked, so a version means the same everywhere.
npm's registry never serves another package under a version either, but what a package needs may be newer each time.
"""

import json
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

TOOLS = {
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    "pebble": "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3",
}
"""Programs that the samples are tried with, and that speak to no registry: schemas of Kubernetes, an ACME server."""

NODE = {"containerify": "4.1.0", "docker-registry-client": "3.4.0"}
"""Packages of npm."""

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


def unpacked(name: str, directory: Path) -> str | None:
    """Return the version of a package of npm that lies in the directory, or None."""
    described = directory / "node_modules" / name / "package.json"
    return str(json.loads(described.read_bytes())["version"]) if described.exists() else None


def install_node(directory: Path) -> bool:
    """Install the packages of npm that are missing, and run no script of theirs; false without npm."""
    if shutil.which("npm") is None:
        print(f"npm (Debian: apt-get install npm) is not installed, so there will be no {', '.join(NODE)}")
        return False
    if any(unpacked(name, directory) != version for name, version in NODE.items()):
        directory.mkdir(parents=True, exist_ok=True)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel", "error"]
        packages = [f"{name}@{version}" for name, version in NODE.items()]
        subprocess.run(["npm", "install", "--prefix", directory, *options, *packages], check=True)
    return True


def main(arguments: Sequence[str]) -> int:
    """Install what is missing into the directory; without Go or npm an error only where all clients are promised."""
    directory = Path(arguments[0]).absolute()
    promised = 1 if os.environ.get(REQUIRE_CLIENTS) == "1" else 0
    if not install_node(directory / "npm") and promised:
        return 1
    wanted = {**PACKAGES, **SERVERS, **TOOLS}
    if shutil.which("go") is None:
        print(
            f"Go (https://go.dev/dl, 1.21 or newer) is not installed, so there will be no {', '.join([*wanted, *OWN])}"
        )
        return promised
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
