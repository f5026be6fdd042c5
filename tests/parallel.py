"""Which tests `pytest -n` gives to one process: those of a file, which share its servers; and which it begins with.

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
"""What takes longest, so that no process is left alone with it at the end."""


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
    """The place in `places` of what the name begins with; behind all, if it is none of them."""
    return next((number for number, place in enumerate(places) if nodeid.startswith(place)), len(places))
