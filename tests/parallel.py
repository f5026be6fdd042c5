"""A scheduler for `pytest -n`: the tests of a file go to one process, since they share servers; long ones come first.

Most tests wait, for programs that start, end or sleep. Several processes wait at the same time; two cores carry four.
"""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/image/",)
"""Files that share what is dear to make: an image of Debian, and ours on top of it."""
FIRST = (
    "tests/image/",
    "tests/engine/test_crash",
    "tests/mutations/",
    "tests/gc/",
    "tests/engine/",
    "tests/workers/",
    "tests/packages/",
    "tests/systemd/",
)
"""The tests that take longest, so that no process is left alone with them at the end."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Files in the order in which their tests were collected."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # which looks at how many tests a file has, not at how long they take

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile | None:
    """Unless another way than the usual one is asked for."""
    return ByFile(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones first, where several processes run; else the order is the random one."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid, FIRST))


def rank(nodeid: str, places: Sequence[str]) -> int:
    """Return the place in `places` of the beginning of the name, or the place after all of them."""
    return next((number for number, place in enumerate(places) if nodeid.startswith(place)), len(places))
