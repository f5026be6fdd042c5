"""Marks the tests that take minutes: `make test` leaves them out, `make test-all` runs them too.

A test is slow by its place in SLOW, or by a fixture in ENGINES. Nothing else is, so this is the one list of them.
"""

from collections.abc import Collection

import pytest

SLOW = {
    "tests/dependencies/test_environments.py": "virtual environments are made",
    "tests/engine/": "engines pull and push, and servers are killed a hundred times",
    "tests/gc/test_killed.py": "a collector is killed at each of hundreds of calls",
    "tests/gc/test_more_schedules.py": "thousands of schedules are tried",
    "tests/image/": "images are built on Debian's packages",
    "tests/monitoring/": "Prometheus and the CNCF registry run with ours",
    "tests/mutations/": "each broken copy of the server has a pytest run of its own",
    "tests/packages/": "wheels are built and installed in virtual environments",
    "tests/pages/test_backup.py": "servers are backed up under load",
    "tests/pages/test_migrating.py": "servers of both kinds take turns",
    "tests/pages/test_upgrading.py": "earlier versions are installed and run",
    "tests/proxies/": "each proxy runs in front of servers of its own",
    "tests/systemd/": "a systemd is booted",
    "tests/workers/": "three hundred services of several processes are started",
}
"""The slow directories and files, with the reason."""

ENGINES = frozenset({"bridged", "buildah", "docker", "podman", "wheels"})
"""Fixtures that start an engine or build packages; a new test that asks for one is slow by itself."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them before `-m` selects."""
    for item in items:
        if is_slow(item.nodeid, getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def is_slow(nodeid: str, fixtures: Collection[str]) -> bool:
    """Return True for a test that `make test` leaves out."""
    return nodeid.startswith(tuple(SLOW)) or not ENGINES.isdisjoint(fixtures)
