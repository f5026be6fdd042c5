"""Lists and mounts look at the disk only where the caller may pull something."""

from collections import Counter
from collections.abc import Iterator

import pytest

from pyregistry.api.http.context import CallersView
from pyregistry.auth.access import AllowAll, Authorizer, Principal
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Stat
from tests.auth.test_policy import rule, rules
from tests.builders import artifact
from tests.storage.pushing import push_blob, push_image, registry_on, repository

_BOB = Principal("bob")
_SECRET = b"what bob may not read"


class LookingDriver(MemoryDriver):
    """Counts what it is asked for, by the first component of the repository or by the tree."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = Counter[str]()

    def stat(self, path: StoragePath) -> Stat:
        self._count(path)
        return super().stat(path)

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        self._count(path)
        return super().children(path, after, strict=strict)

    def _count(self, path: StoragePath) -> None:
        parts = path.removeprefix("docker/registry/v2/").split("/")
        self.looks["/".join(parts[:2])] += 1


@pytest.fixture
def driver() -> LookingDriver:
    """Twenty repositories in a flat namespace, and ten below `team` and `other`."""
    driver = LookingDriver()
    registry = registry_on(driver)
    for name in [
        *(f"r{number}" for number in range(20)),
        *(f"{ns}/a{n}" for ns in ("team", "other") for n in range(10)),
    ]:
        push_image(repository(registry, name), artifact(), "v1")
    push_blob(repository(registry, "r0"), _SECRET)
    driver.looks.clear()
    return driver


def _listed(driver: LookingDriver, authorizer: Authorizer) -> list[str]:
    view = CallersView(authorizer, _BOB, covered=False)
    return [name for name in registry_on(driver).list_catalog(None, view) if name is not None]


def test_who_may_see_nothing_costs_the_disk_nothing(driver: LookingDriver) -> None:
    for items in [[], [rule("**", who="alice")], [rule("**", who="bob", actions="push"), rule("**")]]:
        assert _listed(driver, rules(*items)) == []
    assert driver.looks == {}


def test_namespaces_that_the_caller_may_not_see_are_not_read(driver: LookingDriver) -> None:
    assert _listed(driver, rules(rule("team/**"))) == [f"team/a{number}" for number in range(10)]
    assert set(driver.looks) == {"repositories", "repositories/team"}
    driver.looks.clear()
    assert _listed(driver, rules(rule("r7"))) == ["r7"]
    assert set(driver.looks) == {"repositories", "repositories/r7"}


def test_who_may_see_all_gets_all(driver: LookingDriver) -> None:
    everything = _listed(driver, AllowAll())
    assert len(everything) == 40
    assert _listed(driver, rules(rule("**"))) == everything


@pytest.mark.parametrize("items", [[rule("team/**")], [rule("*/a1")], []])
def test_a_mount_costs_the_same_whether_a_private_blob_is_there_or_not(
    driver: LookingDriver, items: list[dict[str, object]]
) -> None:
    costs = []
    for content in (_SECRET, b"what is nowhere"):
        view = CallersView(rules(*items), _BOB, covered=True)
        assert [each for each in registry_on(driver).list_having(Digest.of(content), view) if each is not None] == []
        costs.append(Counter(driver.looks))
        driver.looks.clear()
    assert costs[0] == costs[1]


def test_a_mount_by_who_may_read_everything_does_not_walk_for_what_is_nowhere(driver: LookingDriver) -> None:
    view = CallersView(rules(rule("**")), _BOB, covered=True)
    assert list(registry_on(driver).list_having(Digest.of(b"what is nowhere"), view)) == []
    assert set(driver.looks) == {"blobs/sha256"}
    found = [each.name for each in registry_on(driver).list_having(Digest.of(_SECRET), view) if each is not None]
    assert found == [RepositoryName("r0")]
