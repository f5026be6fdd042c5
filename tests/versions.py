"""At the end of a run: the versions of the clients whose tests passed. They change, so no page has them."""

import importlib.metadata
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

CLIENT = "client"
"""The mark, and what a report calls it."""

PYTHON = {"oras-py": "oras", "requests": "requests", "registry-cli": "requests"}
"""Those that run in the tests' own process, by their package."""

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
    "ch-image": ("dpkg-query", "--show", "charliecloud-builders"),
    "curl": ("curl", "--version"),
}
_VERSION = re.compile(r"v?\d+\.\d+[^\s,]*")


def version(client: str) -> str:
    """The version that the client reports."""
    if client in PYTHON:
        return importlib.metadata.version(PYTHON[client])
    if client not in COMMANDS:
        return _of_npm(client)
    done = subprocess.run(COMMANDS[client], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout)
    return found[0] if found else "unknown"


def _of_npm(client: str) -> str:
    places = (Path(place) / "npm/node_modules" / client for place in os.environ["PATH"].split(os.pathsep))
    described = next(place / "package.json" for place in places if place.is_dir())
    return str(json.loads(described.read_bytes())["version"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note which clients each test starts, where its report has it: it may have run in another process."""
    for item in items:
        item.user_properties += [(CLIENT, mark.args[0]) for mark in item.iter_markers(CLIENT)]


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Print a line with the clients that ran."""
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    clients = sorted({str(value) for test in passed for name, value in test.user_properties if name == CLIENT})
    if clients:
        terminalreporter.write_line(f"clients: {', '.join(f'{client} {version(client)}' for client in clients)}")
