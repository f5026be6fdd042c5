"""At the end of a run: the versions of the clients whose tests passed. They change, so no page has them."""

import importlib.metadata
import re
import subprocess

import pytest

SEEN = pytest.StashKey[dict[str, set[str]]]()
COMMANDS = {
    "docker": ("docker", "--version"),
    "ctr": ("ctr", "--version"),
    "podman": ("podman", "--version"),
    "buildah": ("buildah", "--version"),
    "skopeo": ("skopeo", "--version"),
    "crane": ("crane", "version"),
    "regctl": ("regctl", "version"),
    "oras": ("oras", "version"),
    "helm": ("helm", "version", "--short"),
    "cosign": ("cosign", "version"),
    "curl": ("curl", "--version"),
}
_VERSION = re.compile(r"v?\d+\.\d+[^\s,]*")


def version(client: str) -> str:
    """What the client says of itself."""
    if client == "oras-py":
        return importlib.metadata.version("oras")
    done = subprocess.run(COMMANDS[client], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout)
    return found[0] if found else "unknown"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which clients each test starts."""
    session.config.stash[SEEN] = {
        item.nodeid: {mark.args[0] for mark in item.iter_markers("client")} for item in session.items
    }


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    """Print a line with the clients that ran."""
    seen = config.stash.get(SEEN, {})
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", [])]
    clients = sorted({client for test in passed for client in seen.get(test, ())})
    if clients:
        terminalreporter.write_line(f"clients: {', '.join(f'{client} {version(client)}' for client in clients)}")
